//! A headless Chromium, driven over the DevTools protocol through a pair of pipes.

use std::collections::VecDeque;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything here takes; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// The variable that names the browser, and makes a missing one a failure.
const VARIABLE: &str = "DEEPTELL_BROWSER";

const NAMES: [&str; 5] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/// The browser to test with: the one that `DEEPTELL_BROWSER` names, else the first of the usual
/// names on the path.
pub(crate) fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE) {
        return Some(named.into());
    }
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    NAMES.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()))
}

/// One browser with one tab.
pub(crate) struct Tab {
    browser: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    /// What the page did so far, in order.
    pub(crate) events: VecDeque<Value>,
    session: Option<String>,
    sent: u64,
    _profile: TempDir,
}

impl Tab {
    /// Starts the browser; its window is `width` by `height` pixels.
    pub(crate) fn open(program: &Path, width: u32, height: u32) -> Self {
        let profile = TempDir::new().unwrap();
        let mut command = Command::new("sh");
        // Chromium listens at file 3 and answers at file 4.
        command.args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#]).arg(program);
        command.args(["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu"]);
        command.args(["--disable-dev-shm-usage", "--disable-background-networking", "--disable-extensions"]);
        command.args(["--disable-component-update", "--disable-sync", "--hide-scrollbars", "--mute-audio"]);
        command.args([format!("--window-size={width},{height}")]);
        command.args([format!("--user-data-dir={}", profile.path().display())]);
        if is_root() {
            // The sandbox of a browser cannot be entered by root; the page is our own.
            command.arg("--no-sandbox");
        }
        let mut browser = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let commands = browser.stdin.take().unwrap();
        let mut answers = BufReader::new(browser.stdout.take().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while answers.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                let text = message.strip_suffix(&[0]).unwrap_or(&message);
                if sender.send(serde_json::from_slice(text).unwrap()).is_err() {
                    break;
                }
                message.clear();
            }
        });
        let mut tab = Self {
            browser,
            commands,
            messages,
            events: VecDeque::new(),
            session: None,
            sent: 0,
            _profile: profile,
        };
        let target = tab.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = tab.call("Target.attachToTarget", attach);
        tab.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network", "DOM", "Accessibility"] {
            tab.call(&format!("{domain}.enable"), json!({}));
        }
        // Workers are pages of their own to the protocol: each is held until it is watched as well.
        let attach = |filter: Value| json!({"autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true, "filter": filter});
        tab.call("Target.setAutoAttach", attach(json!([{"type": "worker"}])));
        let page = tab.session.take();
        tab.call(
            "Target.setAutoAttach",
            attach(json!([{"type": "service_worker"}, {"type": "shared_worker"}])),
        );
        tab.session = page;
        tab.resize(width, height);
        tab
    }

    /// Sends a command and waits for its result.
    #[expect(clippy::needless_pass_by_value, reason = "parameters are written where they are passed")]
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        let session = self.session.clone();
        let id = self.send(session.as_deref(), method, &parameters);
        loop {
            let message = self.messages.recv_timeout(PATIENCE);
            let message = message.unwrap_or_else(|_| panic!("the browser does not answer to {method}"));
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.keep(message);
        }
    }

    /// Sends a command, and returns its number.
    fn send(&mut self, session: Option<&str>, method: &str, parameters: &Value) -> u64 {
        self.sent += 1;
        let mut command = json!({"id": self.sent, "method": method, "params": parameters});
        if let Some(session) = session {
            command["sessionId"] = json!(session);
        }
        self.commands.write_all(format!("{command}\0").as_bytes()).unwrap();
        self.commands.flush().unwrap();
        self.sent
    }

    /// Keeps an event. A worker that starts is watched, and goes on.
    fn keep(&mut self, message: Value) {
        if message["method"] == "Target.attachedToTarget" {
            let worker = message["params"]["sessionId"].as_str().unwrap().to_owned();
            for method in
                ["Runtime.enable", "Log.enable", "Network.enable", "Runtime.runIfWaitingForDebugger"]
            {
                self.send(Some(&worker), method, &json!({}));
            }
        }
        self.events.push_back(message);
    }

    /// Waits for an event of the page; its parameters.
    pub(crate) fn event(&mut self, method: &str) -> Value {
        let began = Instant::now();
        loop {
            if let Some(place) = self.events.iter().position(|event| event["method"] == method) {
                return self.events.remove(place).unwrap()["params"].clone();
            }
            assert!(began.elapsed() < PATIENCE, "no {method}");
            if let Ok(message) = self.messages.recv_timeout(Duration::from_millis(100)) {
                self.keep(message);
            }
        }
    }

    pub(crate) fn go(&mut self, address: &str) {
        self.call("Page.navigate", json!({"url": address}));
        self.event("Page.loadEventFired");
        self.settle();
    }

    pub(crate) fn reload(&mut self) {
        self.call("Page.reload", json!({}));
        self.event("Page.loadEventFired");
        self.settle();
    }

    /// Waits until the script has greeted the server.
    fn settle(&mut self) {
        self.until("document.getElementById('version')?.textContent");
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", parameters);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// The words of the first element that a selector finds; none for none.
    pub(crate) fn words(&mut self, selector: &str) -> String {
        let value = self.value(&format!("document.querySelector({selector:?})?.innerText ?? ''"));
        value.as_str().unwrap().to_owned()
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&mut self, expression: &str) {
        let began = Instant::now();
        while self.value(&format!("Boolean({expression})")) != true {
            if began.elapsed() > PATIENCE {
                let page = self.value("document.body.innerText");
                panic!("it never came to this: {expression}\nThe page says: {page}");
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// Gives files to the page, as a person does who chooses them.
    pub(crate) fn choose(&mut self, files: &[&Path]) {
        let found = self.call("Runtime.evaluate", json!({"expression": "document.getElementById('file')"}));
        let files: Vec<PathBuf> = files.iter().map(|file| file.canonicalize().unwrap()).collect();
        let object = &found["result"]["objectId"];
        self.call("DOM.setFileInputFiles", json!({"files": files, "objectId": object}));
    }

    /// Drags a file over the page, calls `hovering`, and drops it.
    pub(crate) fn drag_and_drop(&mut self, file: &Path, hovering: impl FnOnce(&mut Self)) {
        let files = [file.canonicalize().unwrap()];
        let drag = |tab: &mut Self, kind: &str| {
            let data = json!({"items": [], "files": files, "dragOperationsMask": 1});
            tab.call("Input.dispatchDragEvent", json!({"type": kind, "x": 300, "y": 300, "data": data}));
        };
        drag(self, "dragEnter");
        drag(self, "dragOver");
        hovering(self);
        drag(self, "drop");
    }

    /// A point of the window, as a part of the first element that a selector finds.
    fn place(&mut self, selector: &str, across: f64, down: f64) -> (f64, f64) {
        let find = format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{block: 'center'}}); \
             const r = e.getBoundingClientRect(); return [r.x + {across} * r.width, r.y + {down} * r.height]; }})()"
        );
        let place = self.value(&find);
        (place[0].as_f64().unwrap(), place[1].as_f64().unwrap())
    }

    /// Clicks on a point of an element, given as parts of its width and height.
    pub(crate) fn click(&mut self, selector: &str, across: f64, down: f64) {
        let (x, y) = self.place(selector, across, down);
        for kind in ["mousePressed", "mouseReleased"] {
            let parameters = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", parameters);
        }
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, None),
            "Enter" => (13, Some("\r")),
            " " => (32, Some(" ")),
            "End" => (35, None),
            "Home" => (36, None),
            "ArrowLeft" => (37, None),
            "ArrowRight" => (39, None),
            other => panic!("unknown key {other}"),
        };
        let name = if key == " " { "Space" } else { key };
        let mut down = json!({"type": "rawKeyDown", "key": key, "code": name, "windowsVirtualKeyCode": code});
        if let Some(text) = text {
            down["type"] = json!("keyDown");
            down["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", down);
        let up = json!({"type": "keyUp", "key": key, "code": name, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", up);
    }

    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// What the reader prefers: `light` or `dark`.
    pub(crate) fn prefer(&mut self, scheme: &str) {
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Writes a picture of the whole page; a name that ends in `.jpg` makes it a JPEG.
    pub(crate) fn picture(&mut self, path: &Path) {
        self.value("scrollTo(0, 0)");
        let metrics = self.call("Page.getLayoutMetrics", json!({}));
        let size = &metrics["cssContentSize"];
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let is_jpeg = path.extension().is_some_and(|extension| extension == "jpg");
        let mut parameters = json!({"format": if is_jpeg { "jpeg" } else { "png" }, "captureBeyondViewport": true, "clip": clip});
        if is_jpeg {
            parameters["quality"] = json!(82);
        }
        let picture = self.call("Page.captureScreenshot", parameters);
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Watches the memory of the processes of pages from now on; none where the system does not tell.
    pub(crate) fn watch_memory(&mut self) -> MemoryWatch {
        // A question to the browser, not to the page.
        let session = self.session.take();
        let processes = self.call("SystemInfo.getProcessInfo", json!({}));
        self.session = session;
        let processes = processes["processInfo"].as_array().cloned().unwrap_or_default();
        let pages = processes.iter().filter(|process| process["type"] == "renderer");
        let pages: Vec<u64> = pages.filter_map(|process| process["id"].as_u64()).collect();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let mut most: Option<Memory> = None;
            while !over.load(Ordering::Relaxed) {
                let now = pages.iter().filter_map(|page| Memory::of(*page));
                most = most.into_iter().chain(now).max_by_key(Memory::resident);
                std::thread::sleep(Duration::from_millis(10));
            }
            most
        });
        MemoryWatch { is_over, thread }
    }

    /// What went wrong in the page, as its console tells.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // Whatever is on its way arrives before this returns.
        self.value("new Promise((done) => setTimeout(done, 50))");
        let is_bad = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] != "log",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] != "verbose",
            _ => false,
        };
        self.events.iter().filter(is_bad).map(ToString::to_string).collect()
    }

    /// Every address that the page and its workers asked for.
    pub(crate) fn requests(&self) -> Vec<String> {
        let sent = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let began = Instant::now();
        while self.browser.try_wait().is_ok_and(|ended| ended.is_none()) {
            if began.elapsed() > Duration::from_secs(5) {
                let _ = self.browser.kill();
                let _ = self.browser.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Memory of a process in bytes, by what its pages are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Its own: what the task manager of the browser shows, and what it shares with processes that draw and decode.
    pub(crate) own: u64,
    /// Of files, nearly all of the browser's program, which its processes share.
    pub(crate) files: u64,
}

impl Memory {
    /// All of it.
    pub(crate) fn resident(&self) -> u64 {
        self.own + self.files
    }

    fn of(process: u64) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
        };
        Some(Self { own: bytes("RssAnon")? + bytes("RssShmem")?, files: bytes("RssFile")? })
    }
}

/// Looks at the memory of pages again and again.
pub(crate) struct MemoryWatch {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Option<Memory>>,
}

impl MemoryWatch {
    /// That of the one that had most, when it had most.
    pub(crate) fn end(self) -> Option<Memory> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn is_root() -> bool {
    let user = Command::new("id").arg("-u").output();
    user.is_ok_and(|user| user.stdout.trim_ascii() == b"0")
}

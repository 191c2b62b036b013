//! `deeptell devices` on the devices that every build has.

use super::*;

#[test]
fn devices_accepts_the_cpu() {
    let said = succeeds(&["devices", "--json", "-", "--speed", "--batch", "2", "--seconds", "0.1"]);
    let entries: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&entries[0]["device"], &entries[0]["state"]), (&"cpu".into(), &"agrees".into()));
    let checks = entries[0]["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 5, "{said}");
    for check in checks {
        assert!(check["difference"].as_f64().unwrap() <= check["allowed"].as_f64().unwrap(), "{check}");
    }
    let speed = &entries[0]["speeds"][0];
    assert_eq!((&speed["precision"], &speed["batch"]), (&"f32".into(), &2.into()));
    assert!(speed["scored"].as_f64().unwrap() > speed["trained"].as_f64().unwrap(), "{said}");
}

#[cfg(not(feature = "cuda"))]
#[test]
fn devices_fails_if_a_requested_device_is_missing() {
    let output = deeptell(&["devices", "--device", "cpu", "--device", "cuda"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cpu: OK\n  ok   logits"), "{said}");
    assert!(said.contains("cuda: cannot be used") && said.contains("--features cuda"), "{said}");
}

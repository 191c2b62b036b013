//! Privileges that the server of decoders drops once, before it forks the first worker.
//!
//! The main protection is the filter of system calls in `sandbox`. These are a second layer, as far as the kernel supports
//! them. They cannot be undone, and workers inherit them.

use serde::{Deserialize, Serialize};

/// The restrictions of a decoding process besides its filter of system calls.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Confinement {
    /// It has no capabilities and cannot gain any.
    pub has_no_capabilities: bool,
    /// It is in separate user and network namespaces, without any network device.
    pub has_own_namespaces: bool,
    /// Version of the Landlock interface that denies it every path and port; `None` if the kernel has no Landlock.
    pub landlock: Option<u32>,
    /// Names of its environment variables.
    pub variables: Vec<String>,
    /// How many descriptors it has open: the three standard ones, its file and the channel to its parent.
    pub descriptors: usize,
}

/// `confinement` with what this process has, which has been locked in.
#[expect(unsafe_code, reason = "there is no safe way to ask for a descriptor by number")]
pub(super) fn describe(confinement: &Confinement) -> Confinement {
    // SAFETY: asking for the flags of a number that is not a descriptor is an error without effect.
    let is_open = |number: &i32| unsafe { libc::fcntl(*number, libc::F_GETFD) } >= 0;
    Confinement {
        variables: std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect(),
        descriptors: (0..4096).filter(is_open).count(),
        ..confinement.clone()
    }
}

/// Closes every descriptor but the three standard ones: the parent's caller may have left some open.
#[expect(unsafe_code, reason = "there is no safe way to close descriptors by number")]
pub(super) fn close_inherited_descriptors() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: this runs before anything here has opened a file, so no value owns any of them.
        if unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) } == 0 {
            return;
        }
    }
    // Without such a call, one by one, up to a number that no usual process exceeds.
    for descriptor in 3..4096 {
        // SAFETY: as above; closing what is not open is an error without effect.
        unsafe { libc::close(descriptor) };
    }
}

/// Drops every privilege that the kernel lets it drop. Returns what is in force.
pub(super) fn drop_privileges() -> Confinement {
    #[cfg(target_os = "linux")]
    {
        linux::drop_privileges()
    }
    #[cfg(not(target_os = "linux"))]
    Confinement::default()
}

#[cfg(target_os = "linux")]
mod linux {
    use super::Confinement;

    pub(super) fn drop_privileges() -> Confinement {
        // Landlock asks for this; so does the filter later.
        let _ = control(libc::PR_SET_NO_NEW_PRIVS, 1);
        let has_own_namespaces = leave_namespaces();
        let landlock = restrict_paths();
        let has_no_capabilities = drop_capabilities();
        Confinement { has_no_capabilities, has_own_namespaces, landlock, ..Confinement::default() }
    }

    #[expect(unsafe_code, reason = "there is no safe prctl")]
    fn control(option: libc::c_int, value: libc::c_ulong) -> bool {
        // SAFETY: the options used here take numbers, not pointers.
        unsafe { libc::prctl(option, value, 0, 0, 0) == 0 }
    }

    /// Whether this process is now in namespaces of its own.
    #[expect(unsafe_code, reason = "there is no safe unshare")]
    fn leave_namespaces() -> bool {
        let further = libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNS;
        // Without the right to make user namespaces, the superuser may still make the others.
        [libc::CLONE_NEWUSER | further, further].into_iter().any(|namespaces| {
            // SAFETY: the process has one thread, and its files and memory stay as they are.
            unsafe { libc::unshare(namespaces) == 0 }
        })
    }

    /// As the kernel lays it out (`struct landlock_ruleset_attr`).
    #[repr(C)]
    struct Ruleset {
        files: u64,
        ports: u64,
        scopes: u64,
    }

    /// Forbids every path and port that Landlock knows; the version of its interface.
    #[expect(unsafe_code, reason = "Landlock's system calls have no safe wrapper")]
    fn restrict_paths() -> Option<u32> {
        const VERSION: u32 = 1;
        // SAFETY: asks for the version; no memory is read.
        let version = unsafe {
            libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<Ruleset>(), 0, VERSION)
        };
        let version = u32::try_from(version).ok().filter(|version| *version > 0)?;
        let files = match version {
            1 => 0x1FFF,
            2 => 0x3FFF,
            3 | 4 => 0x7FFF,
            _ => 0xFFFF,
        };
        let rules = Ruleset {
            files,
            ports: if version >= 4 { 3 } else { 0 },
            scopes: if version >= 6 { 3 } else { 0 },
        };
        // Older kernels know a shorter structure.
        let size = match version {
            1..=3 => 8,
            4 | 5 => 16,
            _ => size_of::<Ruleset>(),
        };
        // SAFETY: the structure lives, and is at least so long.
        let descriptor =
            unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const rules, size, 0) };
        let descriptor = i32::try_from(descriptor).ok().filter(|descriptor| *descriptor >= 0)?;
        // SAFETY: the descriptor was just made; nobody else has it.
        let is_restricted = unsafe {
            let status = libc::syscall(libc::SYS_landlock_restrict_self, descriptor, 0);
            libc::close(descriptor);
            status == 0
        };
        is_restricted.then_some(version)
    }

    /// As the kernel lays them out (`struct __user_cap_header_struct`, `struct __user_cap_data_struct`).
    #[repr(C)]
    struct Header {
        version: u32,
        process: i32,
    }

    #[repr(C)]
    #[derive(Default, Clone, Copy)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }

    /// Whether this process has no capabilities any more.
    #[expect(unsafe_code, reason = "there is no safe capset")]
    fn drop_capabilities() -> bool {
        const VERSION_3: u32 = 0x2008_0522;
        // The last one is not known; asking for more than there are is an error without effect.
        for capability in 0..64 {
            control(libc::PR_CAPBSET_DROP, capability);
        }
        let header = Header { version: VERSION_3, process: 0 };
        let none = [Data::default(); 2];
        // SAFETY: both structures live, and this version takes two parts of data.
        unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) == 0 }
    }
}

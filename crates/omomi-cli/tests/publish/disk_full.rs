//! Tests a full disk: nothing changes, the error says why, and everything works once there is room.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use omomi::Owner;
use omomi::store::{Scoring, Store};
use omomi_train::operate::publish::{PublishError, publish, switch};

use crate::fixture::{
    Fixture, USUAL_WEIGHT_COUNT, Wanted, control_of, everything_in, leftovers_in, options, published_generation,
};

const STORE: &str = "OMOMI_TEST_STORE";
const FILE: &str = "OMOMI_TEST_FILE";
const MAX_BYTES: &str = "OMOMI_TEST_MAX_BYTES";

#[test]
#[ignore = "the next test starts it in a process of its own, whose files may not grow beyond a limit"]
fn publisher_with_a_limit() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let max_bytes = variable(MAX_BYTES).parse().unwrap();
    let limit = libc::rlimit { rlim_cur: max_bytes, rlim_max: max_bytes };
    // SAFETY: the signal is ignored from here on, so that writing fails instead of ending the process; the limit is a
    // plain struct.
    unsafe {
        assert_ne!(libc::signal(libc::SIGXFSZ, libc::SIG_IGN), libc::SIG_ERR);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
    let error = publish(&Store::new(variable(STORE)), &options(Path::new(&variable(FILE))), &mut |_| ()).unwrap_err();
    assert_says_what_failed(&error);
}

#[track_caller]
fn assert_says_what_failed(error: &PublishError) {
    assert_eq!((error.name(), error.owner()), ("file", Owner::Infra), "{error}");
    assert!(error.to_string().starts_with("cannot "), "{error}");
    assert!(std::error::Error::source(error).is_some(), "{error}");
}

#[test]
fn a_file_that_exceeds_the_size_limit_is_not_published_and_leaves_nothing_behind() {
    let fixture = Fixture::with([1]);
    let file = Wanted::generation(2).file_in(fixture.folder());
    let len = file.metadata().unwrap().len();
    let before = everything_in(fixture.folder());
    for max_bytes in [0, 1, 4_096, len / 2, len - 1] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["disk_full::publisher_with_a_limit", "--exact", "--ignored", "--nocapture"])
            .env(STORE, fixture.store.dir())
            .env(FILE, &file)
            .env(MAX_BYTES, max_bytes.to_string())
            .output()
            .unwrap();
        // Standard error is a pipe, which the limit does not affect.
        assert!(output.status.success(), "{max_bytes}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(everything_in(fixture.folder()), before, "at most {max_bytes} bytes");
    }
    fixture.publish(&Wanted::generation(2)).unwrap();
    assert_eq!(published_generation(&fixture.store), Some(2));
}

/// A small in-memory file system.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// Mounts the file system; returns `None` if this process may not mount.
    fn mount(folder: &'a Path, options: &str) -> Option<Self> {
        Self::call(folder, options, 0).then_some(Self(folder))
    }

    fn remount(&self, options: &str) {
        assert!(Self::call(self.0, options, libc::MS_REMOUNT), "{}", std::io::Error::last_os_error());
    }

    fn call(folder: &Path, options: &str, flags: libc::c_ulong) -> bool {
        let texts = [folder.as_os_str().as_bytes(), options.as_bytes()].map(|text| CString::new(text).unwrap());
        // SAFETY: each text has a null byte at its end.
        let outcome = unsafe {
            let kind = c"tmpfs".as_ptr();
            libc::mount(kind, texts[0].as_ptr(), kind, flags, texts[1].as_ptr().cast())
        };
        outcome == 0
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let path = CString::new(self.0.as_os_str().as_bytes()).unwrap();
        // SAFETY: the text has a null byte at its end.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

#[test]
fn a_disk_that_fills_up_at_any_point_is_left_as_it_was_and_publishing_works_once_there_is_room() {
    let packed = tempfile::tempdir().unwrap();
    let usual = |generation| Wanted { weight_count: USUAL_WEIGHT_COUNT, ..Wanted::generation(generation) };
    let files = [1, 2].map(|generation| usual(generation).file_in(packed.path()));
    let len = files[0].metadata().unwrap().len();
    // Room for one file and part of another; and inodes for the current store plus none to two more.
    let sizes = [1, 4, 8, 12, 16, 19].map(|twentieths| format!("size={},nr_inodes=100", len + len * twentieths / 20));
    let inodes = [7, 8, 9].map(|count| format!("size={},nr_inodes={count}", 8 * len));
    let mut refusal_count = 0;
    for options_of_disk in sizes.iter().chain(&inodes) {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = SmallDisk::mount(folder.path(), &format!("size={},nr_inodes=100", 8 * len)) else {
            eprintln!("SKIPPED: this process may not mount a small file system to fill");
            return;
        };
        let store = Store::new(folder.path().join("feed-ctr"));
        publish(&store, &options(&files[0]), &mut |_| ()).unwrap();
        disk.remount(options_of_disk);
        let before = everything_in(folder.path());
        if let Err(error) = publish(&store, &options(&files[1]), &mut |_| ()) {
            refusal_count += 1;
            assert_says_what_failed(&error);
            assert_eq!(everything_in(folder.path()), before, "{options_of_disk}");
            assert_eq!(published_generation(&store), Some(1));
            // An order needs no space: it is written over the one before.
            switch(&store, Scoring::Off, &mut |_| ()).unwrap();
            assert!(control_of(&store).is_off(), "{options_of_disk}");
            assert_eq!(leftovers_in(folder.path()), Vec::<PathBuf>::new());
            disk.remount(&format!("size={},nr_inodes=100", 8 * len));
            publish(&store, &options(&files[1]), &mut |_| ()).unwrap();
        }
        assert_eq!(published_generation(&store), Some(2), "{options_of_disk}");
        assert!(
            fs::read_dir(store.dir())
                .unwrap()
                .all(|entry| { !entry.unwrap().file_name().to_str().unwrap().starts_with('.') })
        );
    }
    assert!(refusal_count >= 7, "the disk was full only {refusal_count} times");
}

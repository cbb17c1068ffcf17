//! Ends a process when its parent process ends.

use std::io::Read;
use std::thread;

/// Starts a thread that ends this process with `exit_code` when its standard input ends. The parent process has the
/// other end of the pipe, which closes when the parent ends for any reason.
pub(crate) fn end_with_parent(exit_code: i32) {
    thread::spawn(move || {
        let mut rest = [0; 64];
        while std::io::stdin().read(&mut rest).is_ok_and(|count| count > 0) {}
        std::process::exit(exit_code);
    });
}

//! The tie between a process and the one that started it.

use std::io::Read;
use std::thread;

/// Ends this process with `exit_code` when its standard input ends. Whoever started it holds the other end, and takes it along
/// when it dies, however it dies.
pub(crate) fn end_with_parent(exit_code: i32) {
    thread::spawn(move || {
        let mut rest = [0; 64];
        while std::io::stdin().read(&mut rest).is_ok_and(|count| count > 0) {}
        std::process::exit(exit_code);
    });
}

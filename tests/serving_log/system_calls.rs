//! Recording makes no system call: it waits for nobody, not even for a lock, which would need one. The thread that
//! records runs behind a filter: at any call but `write` and `exit`, the system ends the process.

use std::io::Read;
use std::os::fd::AsRawFd;

use omomi::serving_log::{PredictionId, Recorded, Served, ServingLog};

use crate::again;
use crate::small_model;
use crate::world::{Thread, click, model_of, options, read};

const FOLDER: &str = "OMOMI_TEST_FOLDER";
const COUNT: usize = 5_000;

/// Limits this thread from here on.
fn allow_only_write_and_exit() {
    let statement =
        |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: u16::try_from(code).unwrap(), jt, jf, k };
    let number = |call: libc::c_long| u32::try_from(call).unwrap();
    let is_equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    // The number of the call is the first word of what the filter looks at.
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(is_equal, 2, 0, number(libc::SYS_write)),
        statement(is_equal, 1, 0, number(libc::SYS_exit)),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 5, filter: filter.as_mut_ptr() };
    // SAFETY: the program lives during the calls, and has the length that it says.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

/// Predicts and records behind the filter, and then says so.
fn server() {
    let folder = std::env::var(FOLDER).unwrap();
    let changed = options().with(|it| (it.details_per_million, it.ring_len_bytes) = (500_000, 1 << 16));
    let log = ServingLog::open(folder, changed).unwrap();
    let mut thread = Thread::new(&log, &model_of(&small_model::contract()));
    let (mut done, say_done) = std::io::pipe().unwrap();
    let id = PredictionId::of("1", "", 0).unwrap();
    let ids: Vec<String> = (0..COUNT).map(|index| index.to_string()).collect();
    std::thread::spawn(move || {
        allow_only_write_and_exit();
        let mut queued_count = 0;
        for (index, request_id) in ids.iter().enumerate() {
            // Without a time, so that the clock is read.
            let served = Served::of(request_id);
            queued_count += u64::from(thread.scorer.predict_filled(&mut thread.request).is_ok());
            let recorded = thread.ring.record(&mut thread.request, index % 20, &served);
            queued_count += u64::from(matches!(recorded, Ok(Recorded::Queued)));
            queued_count += u64::from(matches!(thread.ring.event(&click(id)), Ok(Recorded::Queued)));
        }
        let bytes = queued_count.to_le_bytes();
        // SAFETY: the bytes can be read. Nothing is dropped here: that would need other calls.
        unsafe {
            libc::write(say_done.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
            loop {
                libc::syscall(libc::SYS_exit, 0);
            }
        }
    });
    let mut bytes = [0; 8];
    done.read_exact(&mut bytes).unwrap();
    println!("did {}", u64::from_le_bytes(bytes));
    drop(log);
}

#[test]
fn recording_makes_no_system_call_and_so_takes_no_lock_that_could_wait() {
    const NAME: &str = "system_calls::recording_makes_no_system_call_and_so_takes_no_lock_that_could_wait";
    if again::role().is_some() {
        return server();
    }
    let folder = tempfile::tempdir().unwrap();
    let output = again::command(NAME, "server").env(FOLDER, folder.path()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("did "), "{stdout}\n{stderr}");
    let read = read(folder.path());
    assert!(read.predictions.len() > 100 && read.events.len() > 100, "{stdout}");
    assert!(read.account.rings().all(|ring| ring.unexplained == 0));
}

#[test]
fn the_filter_ends_a_process_that_makes_another_call() {
    use std::os::unix::process::ExitStatusExt;
    const NAME: &str = "system_calls::the_filter_ends_a_process_that_makes_another_call";
    if again::role().is_some() {
        allow_only_write_and_exit();
        // SAFETY: takes nothing.
        unsafe { libc::getpid() };
        return;
    }
    let status = again::command(NAME, "server").output().unwrap().status;
    assert_eq!(status.signal(), Some(libc::SIGSYS));
}

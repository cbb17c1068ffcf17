//! A server that is killed at any moment, and one whose disk is full. They run this test binary again, each in a
//! process of its own, and tell what they recorded through memory that outlives them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use omomi::serving_log::{DropReason, LogOptions, Recorded, SealReason, SegmentReader, ServingLog};

use crate::again;
use crate::small_model;
use crate::world::{Read, Thread, model_of, options, read, segments_in};

const FOLDER: &str = "OMOMI_TEST_FOLDER";
/// Rings of a server, and words of the shared memory.
const RING_COUNT: usize = 2;

/// Words in a file that two processes map.
struct Progress(*const AtomicU64);

// SAFETY: the words are atomic, and stay mapped.
unsafe impl Sync for Progress {}

impl Progress {
    /// Maps the file `path`, which is created.
    fn of(path: &Path) -> Self {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        file.set_len(4096).unwrap();
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file);
        // SAFETY: a new shared mapping of a file that is long enough; it stays for the rest of the process.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, descriptor, 0)
        };
        assert_ne!(start, libc::MAP_FAILED);
        Self(start.cast())
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < 512);
        // SAFETY: inside the mapping, which is aligned to a page.
        unsafe { &*self.0.add(index) }
    }
}

fn small_segments() -> LogOptions {
    options().with(|it| (it.max_segment_len_bytes, it.ring_len_bytes) = (1 << 18, 1 << 15))
}

/// Records until it is killed.
fn server(folder: &Path) {
    let progress = Progress::of(&folder.join("progress"));
    let log = ServingLog::open(folder.join("served"), small_segments()).unwrap();
    let model = model_of(&small_model::contract());
    std::thread::scope(|scope| {
        for number in 0..RING_COUNT {
            let (mut thread, progress) = (Thread::new(&log, &model), &progress);
            scope.spawn(move || {
                for index in 0_u64.. {
                    thread.record(&format!("{number}-{index}"), usize::try_from(index % 20).unwrap());
                    progress.word(number).store(index + 1, Ordering::SeqCst);
                    if index % 8 == 0 {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                }
            });
        }
    });
}

#[test]
fn every_record_before_a_kill_is_readable_or_counted_except_what_was_still_in_memory() {
    const NAME: &str = "killed::every_record_before_a_kill_is_readable_or_counted_except_what_was_still_in_memory";
    if again::role().is_some() {
        return server(Path::new(&std::env::var(FOLDER).unwrap()));
    }
    let (mut read_count, mut recovered_count) = (0, 0);
    for point in 0..50_u64 {
        let folder = tempfile::tempdir().unwrap();
        let mut command = again::command(NAME, "server");
        command.env(FOLDER, folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let progress = Progress::of(&folder.path().join("progress"));
        let began = Instant::now();
        while progress.word(0).load(Ordering::SeqCst) == 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "the server does not start");
            std::thread::sleep(Duration::from_micros(100));
        }
        // From the first record on, up to some segments later.
        std::thread::sleep(Duration::from_micros(1_500 * point));
        child.kill().unwrap();
        child.wait().unwrap();
        let served = folder.path().join("served");
        let before = read(&served);
        for ring in before.account.rings() {
            assert_eq!(ring.unexplained, 0, "point {point}: {ring:?}");
            let recorded = progress.word(ring.key.ring as usize).load(Ordering::SeqCst) + 1;
            assert!(ring.next_sequence <= recorded, "point {point}: {ring:?} of {recorded}");
            // What was in memory: at most a ring, and a block that was not written.
            let in_memory = recorded - ring.next_sequence;
            assert!(in_memory < ((1 << 15) + (64 << 10)) / 128, "point {point}: {in_memory} records");
        }
        assert!(before.predictions.iter().all(|found| {
            let (ring, sequence) = found.request_id.split_once('-').unwrap();
            (ring.parse(), sequence.parse()) == (Ok(found.ring), Ok(found.head.sequence)) && found.row.len() == 8
        }));
        // The next process seals what the killed one left.
        drop(ServingLog::open(&served, small_segments()).unwrap());
        for partial in segments_in(&served, true) {
            assert_eq!(partial.metadata().unwrap().len(), 0, "only one without a header stays");
        }
        let after = read(&served);
        // A segment that was killed between its two names was read under both.
        let distinct = |read: &Read| read.predictions.iter().map(|it| it.request_id.clone()).collect::<HashSet<_>>();
        assert_eq!(distinct(&after).len(), after.predictions.len());
        assert_eq!(distinct(&after), distinct(&before));
        for (one, two) in before.account.rings().zip(after.account.rings()) {
            assert_eq!((one.read, one.next_sequence, one.counts), (two.read, two.next_sequence, two.counts));
        }
        recovered_count += after.account.writers().filter(|(_, writer)| writer.is_recovered).count();
        assert!(after.account.writers().all(|(_, writer)| writer.skipped_bytes == 0 && !writer.is_closed));
        read_count += before.predictions.len();
    }
    println!("{read_count} records of 50 servers were read, {recovered_count} segments recovered");
    assert!(read_count > 2_000 && recovered_count > 10, "{read_count} {recovered_count}");
}

/// A process can be killed at any step of sealing, too.
#[test]
fn a_segment_whose_writer_was_killed_while_it_got_its_name_is_sealed_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let mut thread = Thread::new(&log, &model_of(&small_model::contract()));
    (0..30).for_each(|index| assert_eq!(thread.record(&index.to_string(), 0), Recorded::Queued));
    drop((thread, log));
    let sealed = segments_in(folder.path(), false).remove(0);
    let partial = sealed.with_extension("omomilog.partial");
    let bytes = fs::read(&sealed).unwrap();
    let recover = || drop(ServingLog::open(folder.path(), options()).unwrap());
    // Both names; the footer, but not yet the name; and every part of the footer.
    fs::hard_link(&sealed, &partial).unwrap();
    recover();
    assert_eq!((segments_in(folder.path(), true).len(), read(folder.path()).ring().duplicates), (0, 0));
    let footer_len = usize::try_from(u32::from_le_bytes(*bytes[bytes.len() - 8..].first_chunk().unwrap())).unwrap();
    for missing in 0..=footer_len {
        fs::remove_file(&sealed).unwrap();
        fs::write(&partial, &bytes[..bytes.len() - missing]).unwrap();
        recover();
        assert_eq!((segments_in(folder.path(), true).len(), segments_in(folder.path(), false).len()), (0, 1));
        let read = read(folder.path());
        assert_eq!((read.predictions.len(), read.ring().unexplained), (30, 0), "{missing} bytes are missing");
        assert!(read.account.writers().all(|(_, it)| it.skipped_bytes == 0 && it.is_recovered == (missing > 0)));
    }
}

/// Records 2,000 predictions on a disk that has room for some of them.
fn server_with_a_limit(folder: &Path, max_bytes: u64) {
    let limit = libc::rlimit { rlim_cur: max_bytes, rlim_max: max_bytes };
    // SAFETY: a plain struct. The signal of the limit is not ignored: the library must keep it from ending the process.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
    record_2000(folder);
}

fn record_2000(folder: &Path) {
    let log = ServingLog::open(folder.join("served"), options()).unwrap();
    let mut thread = Thread::new(&log, &model_of(&small_model::contract()));
    for index in 0..2_000 {
        thread.record(&index.to_string(), index % 20);
        if index % 16 == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

#[test]
fn what_does_not_fit_on_the_disk_is_counted_and_the_rest_is_readable() {
    const NAME: &str = "killed::what_does_not_fit_on_the_disk_is_counted_and_the_rest_is_readable";
    if let Some(role) = again::role() {
        let folder = std::env::var(FOLDER).unwrap();
        return server_with_a_limit(Path::new(&folder), role.parse().unwrap());
    }
    for max_bytes in [0, 1, 255, 256, 257, 5_000, 100_000, 100_001] {
        let folder = tempfile::tempdir().unwrap();
        let output = again::command(NAME, &max_bytes.to_string()).env(FOLDER, folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = read(&folder.path().join("served"));
        for ring in read.account.rings() {
            assert_eq!((ring.unexplained, ring.duplicates), (0, 0), "{max_bytes}: {ring:?}");
        }
        // Whether the first block fits into 5,000 bytes depends on when it is written.
        assert!(read.predictions.is_empty() || max_bytes >= 5_000, "{max_bytes}");
        assert!(!read.predictions.is_empty() || max_bytes < 100_000, "{max_bytes}");
        assert!(read.predictions.len() < 2_000);
        assert!(read.account.writers().all(|(_, writer)| writer.skipped_bytes == 0), "half a block was cut off again");
    }
}

/// Mounts a small file system in memory; returns whether this process may.
fn mount(folder: &Path, size: u64) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let texts = [folder.as_os_str().as_bytes(), format!("size={size}").as_bytes()]
        .map(|text| std::ffi::CString::new(text).unwrap());
    // SAFETY: each text has a null byte at its end.
    unsafe {
        let kind = c"tmpfs".as_ptr();
        libc::mount(kind, texts[0].as_ptr(), kind, 0, texts[1].as_ptr().cast()) == 0
    }
}

#[test]
fn a_disk_that_is_full_and_then_has_room_again_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    if !mount(folder.path(), 256 << 10) {
        eprintln!("SKIPPED: this process may not mount a small file system to fill");
        return;
    }
    let ballast = folder.path().join("ballast");
    fs::write(&ballast, vec![1; 200 << 10]).unwrap();
    let log = ServingLog::open(folder.path().join("served"), options()).unwrap();
    let mut thread = Thread::new(&log, &model_of(&small_model::contract()));
    let patience = Duration::from_secs(30);
    let mut record = |count: usize| {
        for index in 0..count {
            let recorded = thread.record(&index.to_string(), index % 20);
            assert_eq!(recorded, Recorded::Queued, "requests do not notice");
            assert!(index % 100 != 0 || log.flush(patience));
        }
        assert!(log.flush(patience));
    };
    record(1_000);
    let counts = log.metrics().counts;
    assert!(counts.dropped_for(DropReason::DiskFull) > 100 && counts.written > 20, "{counts:?}");
    assert!(log.metrics().problem.unwrap().0.starts_with("disk_full"));
    fs::remove_file(&ballast).unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    record(200);
    assert_eq!(log.metrics().counts.written, counts.written + 200);
    drop((thread, log));
    let found = read(&folder.path().join("served"));
    let ring = found.ring();
    assert_eq!((ring.unexplained, ring.read + ring.counts.dropped_for(DropReason::DiskFull)), (0, 1_200));
    let bytes = fs::read(segments_in(&folder.path().join("served"), false).last().unwrap()).unwrap();
    let mut reader = SegmentReader::new(&bytes).unwrap();
    while reader.next_block().is_some() {}
    assert_eq!((reader.footer().unwrap().reason, reader.skipped_bytes()), (SealReason::Closed, 0));
    let path = std::ffi::CString::new(folder.path().to_str().unwrap()).unwrap();
    // SAFETY: the text has a null byte at its end.
    unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
}

#[test]
fn a_process_that_exits_without_closing_its_log_has_it_written() {
    const NAME: &str = "killed::a_process_that_exits_without_closing_its_log_has_it_written";
    if again::role().is_some() {
        let folder = std::env::var(FOLDER).unwrap();
        let slow = options().with(|it| it.flush_interval = Duration::from_secs(60));
        let log = ServingLog::open(Path::new(&folder).join("served"), slow).unwrap();
        let mut thread = Thread::new(&log, &model_of(&small_model::contract()));
        (0..100).for_each(|index| assert_eq!(thread.record(&index.to_string(), 0), Recorded::Queued));
        std::mem::forget((thread, log));
        std::process::exit(0);
    }
    let folder = tempfile::tempdir().unwrap();
    let output = again::command(NAME, "server").env(FOLDER, folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = read(&folder.path().join("served"));
    assert_eq!((read.predictions.len(), read.ring().unexplained), (100, 0));
    assert!(read.account.writers().all(|(_, writer)| writer.is_closed));
}

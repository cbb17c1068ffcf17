//! What cannot be written is counted, by reason, and no request notices.

use std::fs;
use std::time::{Duration, Instant};

use omomi::serving_log::{DropReason, Recorded, SealReason, SegmentReader, Served, ServingLog};

use crate::exposition;
use crate::small_model;
use crate::world::{PATIENCE, Read, Thread, model_of, options, read, segments_in};

fn thread_of(log: &ServingLog) -> Thread {
    Thread::new(log, &model_of(&small_model::contract()))
}

/// Checks that every sequence number is read or dropped, and returns the number of those that were read.
#[track_caller]
fn assert_balanced(read: &Read) -> u64 {
    for ring in read.account.rings() {
        assert_eq!(ring.unexplained, 0, "{ring:?}");
        assert_eq!(ring.missing, ring.counts.dropped_total(), "{ring:?}");
        assert_eq!((ring.read, ring.duplicates), (ring.counts.written, 0), "{ring:?}");
    }
    read.predictions.len() as u64
}

#[test]
fn a_full_ring_drops_the_new_record_and_counts_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options().with(|it| it.ring_len_bytes = 1 << 14)).unwrap();
    let mut thread = thread_of(&log);
    let mut dropped = 0;
    for index in 0..50_000 {
        let recorded = thread.record(&index.to_string(), index % 20);
        dropped += u64::from(recorded == Recorded::Dropped(DropReason::RingFull));
        assert!(recorded == Recorded::Queued || recorded == Recorded::Dropped(DropReason::RingFull), "{recorded:?}");
    }
    assert!(log.flush(PATIENCE));
    assert_eq!(log.metrics().counts.dropped_for(DropReason::RingFull), dropped);
    drop((thread, log));
    let read = read(folder.path());
    assert_eq!(assert_balanced(&read) + dropped, 50_000);
    assert!(dropped > 0 && !read.predictions.is_empty());
}

#[test]
fn a_record_larger_than_half_of_the_ring_is_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let changed = options().with(|it| (it.ring_len_bytes, it.details_per_million) = (1 << 12, 1_000_000));
    let log = ServingLog::open(folder.path(), changed).unwrap();
    let mut thread = thread_of(&log);
    for index in 0..10 {
        assert_eq!(thread.record(&index.to_string(), 0), Recorded::Queued);
        assert!(log.flush(PATIENCE));
    }
    drop((thread, log));
    let read = read(folder.path());
    assert_eq!((assert_balanced(&read), read.details.len()), (10, 0));
    assert_eq!(read.ring().counts.dropped_for(DropReason::TooLarge), 10, "the details");
}

#[test]
fn segments_are_sealed_by_size_and_by_age_and_each_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options().with(|it| it.max_segment_len_bytes = 1 << 14)).unwrap();
    let mut thread = thread_of(&log);
    for index in 0..1_000 {
        while thread.record(&index.to_string(), 0) != Recorded::Queued {
            std::thread::yield_now();
        }
        assert!(index % 20 != 0 || log.flush(PATIENCE));
    }
    drop((thread, log));
    let by_size = reasons_in(folder.path());
    assert!(by_size.len() > 5 && by_size.iter().rev().skip(1).all(|reason| *reason == SealReason::Size), "{by_size:?}");
    let found = read(folder.path());
    assert_balanced(&found);
    assert!(found.account.writers().all(|(_, writer)| writer.is_closed && writer.missing_segment_count == 0));

    let folder = tempfile::tempdir().unwrap();
    let aged = options().with(|it| it.max_segment_age = Duration::from_millis(50));
    let log = ServingLog::open(folder.path(), aged).unwrap();
    let mut thread = thread_of(&log);
    thread.record("1", 0);
    wait_until(|| segments_in(folder.path(), false).len() == 1);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(segments_in(folder.path(), true).len(), 0, "a log without records begins no segment");
    thread.record("2", 0);
    drop((thread, log));
    assert_eq!(reasons_in(folder.path()), [SealReason::Age, SealReason::Closed]);
    assert_eq!(assert_balanced(&read(folder.path())), 2);
}

fn reasons_in(folder: &std::path::Path) -> Vec<SealReason> {
    let segments = segments_in(folder, false).into_iter().map(|path| {
        let bytes = fs::read(path).unwrap();
        let mut reader = SegmentReader::new(&bytes).unwrap();
        let mut counts = (0, 0);
        while let Some(block) = reader.next_block() {
            counts = (counts.0 + 1, counts.1 + u64::from(block.unwrap().record_count()));
        }
        let footer = reader.footer().unwrap();
        assert_eq!((footer.block_count, footer.record_count), counts);
        (reader.header().number, footer.reason)
    });
    let mut segments: Vec<_> = segments.collect();
    segments.sort_by_key(|(number, _)| *number);
    assert!(segments.iter().enumerate().all(|(index, (number, _))| *number == index as u64));
    segments.into_iter().map(|(_, reason)| reason).collect()
}

#[track_caller]
fn wait_until(mut is_done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_done() {
        assert!(began.elapsed() < PATIENCE, "it took too long");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_limit_of_the_folder_deletes_the_oldest_segments_and_counts_their_records() {
    let folder = tempfile::tempdir().unwrap();
    let limited = options().with(|it| (it.max_segment_len_bytes, it.max_total_len_bytes) = (1 << 14, 1 << 16));
    let log = ServingLog::open(folder.path(), limited).unwrap();
    let mut thread = thread_of(&log);
    for index in 0..2_000 {
        while thread.record(&index.to_string(), 0) != Recorded::Queued {
            std::thread::yield_now();
        }
        if index % 20 == 0 {
            assert!(log.flush(PATIENCE));
            let all = segments_in(folder.path(), false).into_iter().chain(segments_in(folder.path(), true));
            let total: u64 = all.map(|path| path.metadata().map_or(0, |metadata| metadata.len())).sum();
            // A block may be larger than what is left in its segment.
            assert!(total <= (1 << 16) + (1 << 14), "{total}");
        }
    }
    drop(thread);
    assert!(log.flush(PATIENCE));
    let metrics = log.metrics();
    drop(log);
    let read = read(folder.path());
    assert!(metrics.deleted_segments > 10, "{metrics:?}");
    assert_eq!(read.predictions.len() as u64 + metrics.deleted_records, 2_000);
    let ring = read.ring();
    assert_eq!((ring.unexplained, ring.counts.written), (metrics.deleted_records, 2_000));
    assert!(read.account.writers().all(|(_, it)| it.missing_segment_count == metrics.deleted_segments));
}

#[test]
fn a_folder_that_is_removed_costs_its_records_and_one_that_comes_back_is_used_again() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("served");
    let log = ServingLog::open(&folder, options()).unwrap();
    let mut thread = thread_of(&log);
    (0..10).for_each(|index| assert_eq!(thread.record(&index.to_string(), 0), Recorded::Queued));
    assert!(log.flush(PATIENCE));
    assert_eq!(log.metrics().counts.written, 10);
    fs::remove_dir_all(&folder).unwrap();
    (10..20).for_each(|index| assert_eq!(thread.record(&index.to_string(), 0), Recorded::Queued));
    assert!(log.flush(PATIENCE));
    let counts = log.metrics().counts;
    assert_eq!((counts.written, counts.dropped_for(DropReason::FolderGone)), (0, 20));
    assert!(!folder.exists(), "it is nobody's business to make it again");
    assert!(log.metrics().problem.unwrap().0.starts_with("folder_gone"));
    fs::create_dir(&folder).unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    (20..25).for_each(|index| assert_eq!(thread.record(&index.to_string(), 0), Recorded::Queued));
    drop((thread, log));
    let read = read(&folder);
    assert_eq!(assert_balanced(&read), 5);
    assert_eq!(read.ring().counts.dropped_for(DropReason::FolderGone), 20);
}

#[test]
fn a_folder_that_is_removed_while_nothing_is_recorded_is_noticed() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("served");
    let log = ServingLog::open(&folder, options()).unwrap();
    let mut thread = thread_of(&log);
    thread.record("1", 0);
    assert!(log.flush(PATIENCE));
    fs::remove_dir_all(&folder).unwrap();
    wait_until(|| log.metrics().counts.dropped_for(DropReason::FolderGone) == 1);
    assert_eq!(log.metrics().counts.written, 0);
}

#[test]
fn records_of_closed_rings_are_lost_with_the_folder_too() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("served");
    let log = ServingLog::open(&folder, options()).unwrap();
    let mut closed = thread_of(&log);
    let mut open = thread_of(&log);
    (0..7).for_each(|index| assert_eq!(closed.record(&index.to_string(), 0), Recorded::Queued));
    assert_eq!(open.record("1", 0), Recorded::Queued);
    drop(closed);
    assert!(log.flush(PATIENCE));
    wait_until(|| log.metrics().open_ring_count == 1);
    assert_eq!(log.metrics().counts.written, 8);
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    wait_until(|| log.metrics().counts.dropped_for(DropReason::FolderGone) == 8);
    assert_eq!(open.record("2", 0), Recorded::Queued);
    drop((open, log));
    let read = read(&folder);
    assert_eq!((assert_balanced(&read), read.account.rings().count()), (1, 2));
}

#[test]
fn times_of_a_clock_that_is_set_back_are_logged_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path(), options()).unwrap();
    let mut thread = thread_of(&log);
    let times = [1_000_000_000_000, 999_000_000_000, 0, -1, i64::MIN, i64::MAX, 5];
    for at in times {
        let served = Served::of("1").with(|it| it.at_unix_ms = Some(at));
        thread.ring.record(&mut thread.request, 0, &served).unwrap();
    }
    drop((thread, log));
    let read = read(folder.path());
    let found: Vec<_> = read.predictions.iter().map(|it| it.head.at_unix_ms).collect();
    assert_eq!((found.as_slice(), assert_balanced(&read)), (&times[..], 7));
}

#[test]
fn many_rings_that_open_and_close_are_all_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let short = options().with(|it| it.max_segment_age = Duration::from_millis(20));
    let log = ServingLog::open(folder.path(), short).unwrap();
    let model = model_of(&small_model::contract());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (log, model) = (&log, &model);
            scope.spawn(move || {
                for round in 0..20 {
                    let mut thread = Thread::new(log, model);
                    for index in 0..50 {
                        thread.record(&format!("{worker}-{round}-{index}"), index % 20);
                    }
                }
            });
        }
    });
    assert!(log.flush(PATIENCE));
    assert_eq!((log.metrics().counts.written, log.metrics().open_ring_count), (4_000, 0));
    drop(log);
    let read = read(folder.path());
    assert_eq!(assert_balanced(&read), 4_000);
    let rings: Vec<_> = read.account.rings().collect();
    assert_eq!(rings.len(), 80);
    assert!(rings.iter().all(|ring| ring.is_closed && ring.read == 50));
}

#[test]
fn the_metrics_are_those_of_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let log = ServingLog::open(folder.path().join("a\"b"), options()).unwrap();
    let mut thread = thread_of(&log);
    thread.record("1", 0);
    assert!(thread.ring.record(&mut thread.request, 99, &Served::of("1")).is_err());
    assert!(log.flush(PATIENCE));
    let page = log.metrics().to_prometheus();
    for line in [
        "omomi_log_records_total{log=\"a\\\"b\"} 1",
        "omomi_log_dropped_records_total{log=\"a\\\"b\",reason=\"invalid\"} 1",
        "omomi_log_dropped_records_total{log=\"a\\\"b\",reason=\"ring_full\"} 0",
        "omomi_log_open_rings{log=\"a\\\"b\"} 1",
        "omomi_log_oldest_waiting_seconds{log=\"a\\\"b\"} 0",
        "omomi_log_writing{log=\"a\\\"b\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    // The parser checks the rules of the format.
    exposition::read(&page);
}

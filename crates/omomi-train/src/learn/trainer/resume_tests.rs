use super::tests::{SETTINGS, batch, contract, random_rows, written};
use super::*;
use crate::learn::state::StateReader;
use crate::learn::state::test_rows::OwnedRow;
use omomi::store::Digest;

fn state_of(rows: std::ops::Range<usize>, first_time_us: Option<i64>) -> (tempfile::TempDir, std::path::PathBuf) {
    let mut trainer = Trainer::new(&contract(), SETTINGS).unwrap();
    trainer.learn(&batch(&random_rows(3_000, 7)[rows], first_time_us)).unwrap();
    written(&trainer, "state.parquet")
}

#[test]
fn stopping_and_resuming_is_the_same_as_never_stopping() {
    let rows = random_rows(3_000, 7);
    let mut whole = Trainer::new(&contract(), SETTINGS).unwrap();
    whole.learn(&batch(&rows[..1_200], Some(0))).unwrap();
    whole.learn(&batch(&rows[1_200..], Some(1_200))).unwrap();
    let (_whole_folder, whole) = written(&whole, "state.parquet");

    let (_start_folder, start) = state_of(0..1_200, Some(0));
    let mut resumed = Trainer::resume(&contract(), SETTINGS, Sampling::default(), &start, 1.0, 1).unwrap();
    resumed.learn(&batch(&rows[1_200..], Some(1_200))).unwrap();
    assert_eq!((resumed.window_us(), resumed.lineage_us()), (Some((1_200, 2_999)), Some((0, 2_999))));
    assert_eq!(resumed.progressive_metrics().impressions, 1_800);
    let (_resumed_folder, resumed) = written(&resumed, "state.parquet");

    let (expected, found) = (OwnedRow::all(&whole), OwnedRow::all(&resumed));
    assert_eq!(expected.len(), found.len());
    for (expected, found) in expected.iter().zip(&found) {
        // Texts from the start state and from the log are in one table, with the same escapes.
        assert_eq!((&expected.name, expected.counts()), (&found.name, found.counts()));
        // n is computed from d, so the last bits differ.
        assert!((expected.z - found.z).abs() < 1e-9 && (expected.d - found.d).abs() < 1e-9, "{expected:?}, {found:?}");
    }
    let metadata = StateReader::open(&resumed).unwrap().metadata().clone();
    assert_eq!((metadata.rows, metadata.window_us), (3_000, Some((0, 2_999))));
    let expected = Start { digest: Digest::of_file(&start).unwrap(), decay: 1.0, shares: 1 };
    assert_eq!(metadata.start, Some(expected));
}

#[test]
fn decay_keeps_weights_and_counts_and_reduces_the_evidence() {
    let (_start_folder, start) = state_of(0..3_000, None);
    let resumed = Trainer::resume(&contract(), SETTINGS, Sampling::default(), &start, 0.5, 1).unwrap();
    let (_resumed_folder, resumed) = written(&resumed, "state.parquet");
    let min = SETTINGS.curvature(0.0);
    let (mut kept, mut floored) = (0, 0);
    for (before, after) in OwnedRow::all(&start).iter().zip(&OwnedRow::all(&resumed)) {
        assert_eq!((&before.name, before.counts()), (&after.name, after.counts()));
        assert_eq!(after.z, before.z * 0.5);
        if before.d * 0.5 >= min {
            assert!((after.d - before.d * 0.5).abs() < 1e-9);
            kept += 1;
        } else {
            assert_eq!(after.d, min);
            floored += 1;
        }
    }
    assert!(kept > 50 && floored > 50, "{kept}, {floored}");
}

#[test]
fn a_start_with_other_settings_with_finished_weights_or_pruned_is_rejected() {
    let (folder, start) = state_of(0..10, None);
    let refusal = |settings, path: &Path| {
        let error = Trainer::resume(&contract(), settings, Sampling::default(), path, 1.0, 1).unwrap_err().to_string();
        error.replace(folder.path().to_str().unwrap(), "FOLDER")
    };
    assert_eq!(
        refusal(Settings { l1: 0.25, ..SETTINGS }, &start),
        "cannot continue from FOLDER/state.parquet: its l1 is 0.3, expected 0.25; train with the contract and \
         settings of that state, or from scratch"
    );
    let changed = |name: &str, change: &dyn Fn(Metadata) -> Metadata| {
        let mut reader = StateReader::open(&start).unwrap();
        let path = folder.path().join(name);
        let mut writer = StateWriter::create(&path, &change(reader.metadata().clone()), false).unwrap();
        for row in reader.next_batch().unwrap().unwrap().rows() {
            writer.push(&row).unwrap();
        }
        writer.finish().unwrap();
        path
    };
    let finished = changed("finished.parquet", &|metadata| Metadata {
        weight_rule: WeightRule { l1: 0.0, ..metadata.weight_rule },
        ..metadata
    });
    assert_eq!(
        refusal(SETTINGS, &finished),
        "cannot continue from FOLDER/finished.parquet: it is an average of finished weights, for comparison only; \
         average by the rule `curvature`"
    );
    let pruned = changed("pruned.parquet", &|metadata| Metadata { pruned: true, ..metadata });
    assert_eq!(
        refusal(SETTINGS, &pruned),
        "cannot continue from FOLDER/pruned.parquet: it was pruned, so part of what was learned is missing; continue \
         from the unpruned state"
    );
}

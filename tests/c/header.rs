//! Checks that `include/omomi.h` is what cbindgen generates from `src/capi`, and that it agrees with Rust on every
//! struct.
//!
//! `OMOMI_BLESS=1 cargo test --test c header` writes the header again.

use std::fmt::Write;
use std::mem::offset_of;
use std::path::{Path, PathBuf};

use cbindgen::{Braces, Builder, Config, DocumentationStyle, Language, Style};
use omomi::Code;
use omomi::capi::{
    OmomiAnswer, OmomiAnswered, OmomiChoice, OmomiContribution, OmomiError, OmomiExplanation, OmomiField, OmomiHeader,
    OmomiLayoutInfo, OmomiLayoutOptions, OmomiLiveMetrics, OmomiLiveOptions, OmomiLiveStatus, OmomiModelInfo,
    OmomiMoney, OmomiOpenOptions, OmomiOutcome, OmomiRequest, OmomiRow, OmomiRowHead, OmomiServed,
    OmomiServingLogMetrics, OmomiServingLogOptions, OmomiSlot, OmomiText,
};

use crate::compiler::{Dialect, compile_object};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn header_path() -> PathBuf {
    root().join("include/omomi.h")
}

/// Returns the statuses as C constants, generated from the table of codes: cbindgen cannot see the constants inside its
/// macro.
fn statuses() -> String {
    let mut text = String::from("\n/// The values of OmomiStatus.\nenum {\n  OMOMI_STATUS_OK = 0,\n");
    for &code in Code::ALL {
        let name = code.name().to_uppercase();
        let (owner, action) = (code.owner().word(), code.action());
        writeln!(text, "  /// For {owner}: {action}.\n  OMOMI_STATUS_{name} = {},", code as i32).unwrap();
    }
    text.push_str("};\n");
    text.push_str(ATTRIBUTES);
    text
}

/// What compilers know beyond the standard, and other compilers ignore.
const ATTRIBUTES: &str = "
/// Marks a call whose status must be looked at: without it, outputs and answers mean nothing.
#if defined(__GNUC__)
#define OMOMI_MUST_USE __attribute__((warn_unused_result))
#else
#define OMOMI_MUST_USE
#endif";

fn made() -> String {
    let source = |name: &str| root().join("src/capi").join(name);
    let text = |name: &str| std::fs::read_to_string(source(name)).unwrap();
    let mut config = Config {
        language: Language::C,
        cpp_compat: true,
        header: Some(text("conventions.h").trim_end().to_owned()),
        no_includes: true,
        sys_includes: ["stddef.h", "stdint.h", "string.h"].map(str::to_owned).to_vec(),
        after_includes: Some(statuses()),
        trailer: Some(format!("{}\n\n{}", text("request.h").trim_end(), text("request_inline.h").trim_end())),
        style: Style::Type,
        braces: Braces::SameLine,
        line_length: 120,
        documentation_style: DocumentationStyle::Cxx,
        usize_is_size_t: true,
        ..Config::default()
    };
    config.function.must_use = Some("OMOMI_MUST_USE".to_owned());
    let structs_of_inline_functions = ["OmomiHeader", "OmomiOutcome", "OmomiRow", "OmomiRowHead", "OmomiAnswer"];
    config.export.include = structs_of_inline_functions.map(str::to_owned).to_vec();
    let mut bytes = Vec::new();
    // The other files are its modules.
    Builder::new().with_config(config).with_src(source("mod.rs")).generate().unwrap().write(&mut bytes);
    // C has no heading like rustdoc's `# Safety`.
    String::from_utf8(bytes).unwrap().replace("/// # Safety\n///\n", "/// The caller promises:\n")
}

/// Returns the names of the inline functions that are for callers.
pub fn inline_functions() -> Vec<String> {
    let header = std::fs::read_to_string(header_path()).unwrap();
    let mut names: Vec<String> = Vec::new();
    for line in header.lines().filter_map(|line| line.strip_prefix("static inline ")) {
        let name = line.split('(').next().and_then(|start| start.rsplit([' ', '*']).next()).unwrap();
        if !name.starts_with("omomi_internal_") && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    assert!(names.len() > 30, "{names:?}");
    names
}

#[test]
fn the_committed_header_is_what_cbindgen_generates() {
    let made = made();
    if std::env::var_os("OMOMI_BLESS").is_some() {
        std::fs::write(header_path(), &made).unwrap();
    }
    let committed = std::fs::read_to_string(header_path()).unwrap_or_default();
    let differing = committed.lines().zip(made.lines()).position(|(left, right)| left != right);
    assert!(
        committed == made,
        "include/omomi.h is stale, first at line {}; run `OMOMI_BLESS=1 cargo test --test c header` and read the difference",
        differing.map_or_else(|| committed.lines().count().min(made.lines().count()), |line| line + 1)
    );
}

/// A static assertion for the size of a struct and for the offset of each of its members.
macro_rules! layout {
    ($text:ident, $($name:ident { $($member:ident)* })*) => {
        $(
            writeln!($text, "OMOMI_SAME(sizeof({0}), {1});", stringify!($name), size_of::<$name>()).unwrap();
            $(
                let (name, member) = (stringify!($name), stringify!($member));
                let offset = offset_of!($name, $member);
                writeln!($text, "OMOMI_SAME(offsetof({name}, {member}), {offset});").unwrap();
            )*
        )*
    };
}

fn layouts() -> String {
    let mut text = String::from(
        "#include \"omomi.h\"\n\
         #ifdef __cplusplus\n#define OMOMI_SAME(a, b) static_assert((a) == (b), #a)\n\
         #elif __STDC_VERSION__ >= 201112L\n#define OMOMI_SAME(a, b) _Static_assert((a) == (b), #a)\n\
         #else\n#define OMOMI_JOIN(a, b) a##b\n#define OMOMI_NAME(line) OMOMI_JOIN(same_, line)\n\
         #define OMOMI_SAME(a, b) typedef char OMOMI_NAME(__LINE__)[(a) == (b) ? 1 : -1]\n#endif\n",
    );
    layout! { text,
        OmomiError { size_bytes status owner message }
        OmomiOpenOptions { size_bytes load_mode }
        OmomiModelInfo { size_bytes generation weight_count file_len_bytes contract_fingerprint bias }
        OmomiText { text len_bytes }
        OmomiField { size_bytes name side kind many reserved unit range_min range_max }
        OmomiSlot { row_type index kind many }
        OmomiLayoutInfo {
            size_bytes context_offset candidates_offset candidate_stride_bytes results_offset result_stride_bytes
            tail_offset len_bytes candidate_capacity tail_len_bytes model_count candidates context_row_type
            candidate_row_type
        }
        OmomiRequest { block layout owns_block reserved }
        OmomiRow { request offset_bytes row_type }
        OmomiLayoutOptions { size_bytes candidate_capacity tail_len_bytes model_count candidates }
        OmomiHeader {
            layout_version tail_used_bytes filled_count gap_count refusal refused_row refused_field refused_row_type
            is_answered answered_count reserved
        }
        OmomiOutcome {
            generation scored_count refused_count late_count unseen_count missing_count invalid_number_count reserved
        }
        OmomiRowHead { present inline_text }
        OmomiAnswer { logit probability status }
        OmomiExplanation { size_bytes contribution_count bias logit probability }
        OmomiContribution { key weight source name }
        OmomiLiveOptions {
            size_bytes name load_mode max_deaths poll_interval_ms trial_ms retry_after_death_ms
            max_file_len_bytes memory_budget_bytes min_generation contract_fingerprints contract_fingerprint_count
            trusted_key_paths trusted_key_path_count max_training_age_seconds signature allow_writable_files lock_memory has_fallback
            fallback_file
        }
        OmomiLiveMetrics {
            size_bytes prediction_count failed_count panic_count no_model_count off_count busy_count scored_count
            refused_count late_count unseen_count missing_count invalid_number_count latency_counts latency_sum_ns
            swap_served_count swap_refused_count swap_interrupted_count swap_withdrawn_count last_load_ns state control
            is_live is_ready has_generation is_on_trial generation weight_count file_len_bytes since_unix_seconds load_mode
            has_training_end training_end_unix_seconds reason_count quarantined_count retired_count mapped_bytes
            resident_bytes sampled_request_count last_pass_unix_seconds taken_unix_seconds
        }
        OmomiServingLogOptions {
            size_bytes name predictions_per_million details_per_million salt ring_len_bytes max_segment_len_bytes
            max_segment_age_ms max_total_len_bytes flush_interval_ms fallbacks_per_second sync
        }
        OmomiServingLogMetrics {
            size_bytes written_count sampled_out_count dropped_counts open_ring_count written_bytes sealed_segment_count
            recovered_segment_count deleted_segment_count deleted_record_count folder_len_bytes oldest_waiting_ns
            is_writing reserved
        }
        OmomiMoney { micros basis currency }
        OmomiServed {
            size_bytes request_id impression experiment arm at_unix_ms bid latency_ns propensity position bucket source
            own_probability model_index reserved
        }
        OmomiAnswered {
            size_bytes generation version salt exploration_parameter arm bucket is_control fell_back shadow_count
            exploration exploration_share reserved
        }
        OmomiChoice { size_bytes has_candidate is_exploring candidate propensity }
        OmomiLiveStatus {
            size_bytes state control pinned_generation has_generation is_on_trial generation weight_count file_len_bytes
            contract_fingerprint since_unix_seconds load_mode has_training_end training_end_unix_seconds retired_count
            mapped_bytes resident_bytes reason_count quarantined_count heartbeat_unix_seconds
        }
    }
    for &code in Code::ALL {
        writeln!(text, "OMOMI_SAME(OMOMI_STATUS_{}, {});", code.name().to_uppercase(), code as i32).unwrap();
    }
    text.push_str("extern int omomi_layouts_are_the_same;\n");
    text
}

#[test]
fn every_dialect_compiles_the_header_without_warnings_and_agrees_with_rust_on_the_structs() {
    let folder = tempfile::tempdir().unwrap();
    let text = layouts();
    for dialect in Dialect::ALL {
        let source = folder.path().join("layouts").with_extension(dialect.extension());
        std::fs::write(&source, &text).unwrap();
        compile_object(dialect, &source, &folder.path().join("layouts.o"));
    }
}

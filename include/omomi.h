/*
 * omomi: click-through-rate scoring, for C and C++.
 *
 * Made by cbindgen from src/capi of the crate omomi; change it there, not here.
 *
 * CONVENTIONS
 *
 * Calls.     Every call that can fail returns an OmomiStatus: OMOMI_STATUS_OK (0) or the number of an error. First comes
 *            the handle, then inputs, then outputs, last the error. Outputs are written on success only. A probability
 *            is never an error code.
 * Errors.    The last argument is an OmomiError of yours, or NULL if the status is enough. A call that fails writes
 *            status, owner (who must act) and a message into it; a call that succeeds leaves it alone.
 * Null.      NULL for a pointer that is needed is OMOMI_STATUS_NULL_ARGUMENT. Arrays and texts of length 0 may be NULL.
 * Panics.    A defect in the library is OMOMI_STATUS_PANIC and never ends your process; omomi_test_panic() proves it.
 * Structs.   Where a struct begins with size_bytes, set it to the struct's sizeof before the call, for outputs as well.
 *            Another size is OMOMI_STATUS_WRONG_SIZE: your code was compiled with another header.
 * Texts.     Texts that you pass are UTF-8 with a length in bytes, and need no null byte. Texts that you get are copied
 *            into your buffer with a null byte behind them: pass NULL and a capacity of 0 to learn the length, which does
 *            not count that byte. Functions that return a const char * return static text.
 * Ownership. A handle that an ..._open or ..._of_model call gave you goes back through the ..._close of its type, once.
 *            Closing NULL does nothing. Handles keep what they need of each other, so any order of closing is right.
 *            The library keeps no pointer of yours after a call.
 * Threads.   Any number of threads may use one model, live model, schema, layout or candidate set at once. Open one scorer,
 *            and keep one request block, for each thread; a scorer that is in use answers OMOMI_STATUS_SCORER_BUSY. No call may race
 *            with the close of its handle.
 * Cost.      omomi_scorer_predict, omomi_live_scorer_predict, both with _within, and the static inline functions allocate
 *            nothing, lock nothing and wait for nothing, also on a thread's first call, also when they fail, also while
 *            another thread changes a candidate set or a generation. All other calls, and the two inline functions that change a candidate set, are for
 *            start-up, for tools and for threads that serve no request.
 * Undefined. A handle that was closed, memory that is shorter than you say, and a struct that another thread writes
 *            meanwhile cannot be told from good ones: as everywhere in C, they are yours to avoid. A request block that
 *            another thread writes during predict costs only its answers.
 *
 * EXAMPLE    (error checks left out; tests/c/example.c is complete)
 *
 *     OmomiField fields[] = {
 *         omomi_id_field("media_id", OMOMI_SIDE_CONTEXT),
 *         omomi_id_field("creative_id", OMOMI_SIDE_CANDIDATE),
 *     };
 *     OmomiError error = OMOMI_ERROR_INIT;
 *     OmomiOffsets offsets = OMOMI_OFFSETS_INIT;
 *     omomi_schema_open(fields, 2, &schema, &error);                      once, when the server starts
 *     omomi_schema_slot(schema, "media_id", 8, &media_id, &error);
 *     omomi_schema_slot(schema, "creative_id", 11, &creative_id, &error);
 *     omomi_layout_open(schema, 500, 4096, &layout, &error);
 *     omomi_layout_offsets(layout, &offsets, &error);
 *     omomi_model_open(path, strlen(path), NULL, &model, &error);         for each generation
 *     omomi_scorer_open(model, layout, &scorer, &error);                  for each thread
 *     omomi_request_init(&request, &offsets, malloc(offsets.len_bytes), offsets.len_bytes);
 *
 *     omomi_request_clear(&request);                                      for each request
 *     omomi_set_id(omomi_context_row(&request), media_id, 17);
 *     omomi_set_id(omomi_candidate_row(&request, 0), creative_id, 4001);
 *     omomi_set_id(omomi_candidate_row(&request, 1), creative_id, 4002);
 *     if (omomi_request_predict(scorer, &request, 2, &error) == OMOMI_STATUS_OK)
 *         printf("%g\n", omomi_request_answer(&request, 1).probability);
 *
 * PREPARED   Creatives live for hours: hand their rows over once, and let requests name them by index. The answers are the
 * CANDIDATES same, bit for bit, for a fraction of the time.
 *
 *     OmomiLayoutOptions options = OMOMI_LAYOUT_OPTIONS_INIT;
 *     omomi_candidate_set_open(layout, 10000, 8, &set, &error);           once; layout and request as above
 *     options.candidate_capacity = 500, options.candidates = OMOMI_CANDIDATES_PREPARED;
 *     omomi_layout_open_with(schema, &options, &prepared_layout, &error);
 *     const OmomiModel *models[] = {model};                               or several, for one call each request
 *     omomi_scorer_open_with(models, 1, prepared_layout, set, &prepared_scorer, &error);
 *
 *     omomi_set_id(omomi_candidate_row(&request, 0), creative_id, 4001);  for each creative, by any thread, at any time
 *     omomi_request_add_to_set(set, &request, 0, &index_of_4001, &error);
 *
 *     omomi_request_clear(&prepared_request);                             for each request
 *     omomi_set_id(omomi_context_row(&prepared_request), media_id, 17);
 *     omomi_request_set_candidate(&prepared_request, 0, index_of_4001);
 *     omomi_request_predict_within(prepared_scorer, &prepared_request, 1, 2000, &error);     2 ms at most
 *
 * LIVE       A server that runs for months follows a store, the directory that `omomi publish` writes to. A thread of the
 * SERVING    library verifies what is published there, and a request is answered by the last good generation, whatever
 *            happens to the newest. There may be none yet, and people may switch scoring off: both are statuses, not
 *            failures, and a server that has an answer of its own never stops for them.
 *
 *     OmomiLiveOptions options = OMOMI_LIVE_OPTIONS_INIT;
 *     options.name = "ad-server-1", options.name_len_bytes = 11;          another one for each process
 *     omomi_live_open("/feed-ctr", 9, schema, &options, &live, &error);   once; schema, layout and request as above
 *     omomi_live_scorer_open(live, layout, NULL, &live_scorer, &error);   for each thread, good for every generation
 *
 *     switch (omomi_request_predict_live(live_scorer, &request, 2, &error)) {                for each request
 *     case OMOMI_STATUS_OK:           rank by omomi_request_answer; log omomi_request_outcome(&request).generation
 *     case OMOMI_STATUS_NO_MODEL:     no generation could be served yet: rank without one
 *     case OMOMI_STATUS_SWITCHED_OFF: people have switched scoring off: rank without it
 *     default:                        the call was wrong, and error.message says how
 *     }
 *
 *            omomi_live_status, omomi_live_metrics and omomi_live_prometheus say how it goes: who answers since when, what is not as
 *            it should be and who must act, whether a health check should pass.
 */

#ifndef OMOMI_H
#define OMOMI_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/// The values of OmomiStatus.
enum {
  OMOMI_STATUS_OK = 0,
  /// For delivery: pass the argument.
  OMOMI_STATUS_NULL_ARGUMENT = 1,
  /// For delivery: correct the argument.
  OMOMI_STATUS_INVALID_ARGUMENT = 2,
  /// For delivery: align the request block to 8 bytes, better 64.
  OMOMI_STATUS_MISALIGNED = 3,
  /// For delivery: take the size from the layout.
  OMOMI_STATUS_WRONG_SIZE = 4,
  /// For delivery: split the request or make a larger layout.
  OMOMI_STATUS_TOO_MANY_CANDIDATES = 5,
  /// For delivery: make one scorer per thread.
  OMOMI_STATUS_SCORER_BUSY = 6,
  /// For delivery: correct the context row.
  OMOMI_STATUS_CONTEXT_MALFORMED = 7,
  /// For delivery: pass UTF-8.
  OMOMI_STATUS_NOT_UTF8 = 8,
  /// For delivery: declare the field or correct its name.
  OMOMI_STATUS_UNKNOWN_FIELD = 9,
  /// For delivery: use the field as it was declared.
  OMOMI_STATUS_WRONG_FIELD_USE = 10,
  /// For delivery: make the request's layout with a larger tail.
  OMOMI_STATUS_TAIL_FULL = 11,
  /// For delivery: pass fewer values.
  OMOMI_STATUS_TOO_MANY_VALUES = 12,
  /// For delivery: do not use a handle after closing it.
  OMOMI_STATUS_CLOSED = 13,
  /// For delivery: deploy library and caller from one release.
  OMOMI_STATUS_ABI_MISMATCH = 14,
  /// For delivery: deploy the library for this platform, and a folder it can be loaded from.
  OMOMI_STATUS_LIBRARY_NOT_LOADED = 15,
  /// For delivery: correct the declaration.
  OMOMI_STATUS_SCHEMA_INVALID = 20,
  /// For delivery: declare the field, or ask for a model without it.
  OMOMI_STATUS_FIELD_MISSING = 21,
  /// For delivery: agree with the other team on the field.
  OMOMI_STATUS_FIELD_MISMATCH = 22,
  /// For infra: check path, permissions and disk.
  OMOMI_STATUS_FILE = 40,
  /// For ml: choose the next generation's name.
  OMOMI_STATUS_ALREADY_EXISTS = 41,
  /// For infra: publish the weight file, not another one.
  OMOMI_STATUS_NOT_A_WEIGHT_FILE = 42,
  /// For infra: publish the file as it was packed.
  OMOMI_STATUS_WRONG_BYTE_ORDER = 43,
  /// For delivery: update the serving library first.
  OMOMI_STATUS_TOO_NEW = 44,
  /// For ml: pack it again.
  OMOMI_STATUS_TOO_OLD = 45,
  /// For infra: publish it again.
  OMOMI_STATUS_TRUNCATED = 46,
  /// For infra: publish it again.
  OMOMI_STATUS_TOO_LONG = 47,
  /// For infra: publish it again.
  OMOMI_STATUS_DAMAGED = 48,
  /// For ml: pack it again with a released version.
  OMOMI_STATUS_MALFORMED = 49,
  /// For ml: pack it again with a released version.
  OMOMI_STATUS_FILE_CONTRACT = 50,
  /// For ml: do not serve this file; pack it again.
  OMOMI_STATUS_GOLDEN_MISMATCH = 51,
  /// For ml: sign it, then publish it.
  OMOMI_STATUS_SIGNATURE_MISSING = 52,
  /// For infra: publish the file as it was signed.
  OMOMI_STATUS_SIGNATURE_INVALID = 53,
  /// For delivery: accept the key, or have the file signed by an accepted one.
  OMOMI_STATUS_SIGNATURE_KEY_UNKNOWN = 54,
  /// For infra: publish it again.
  OMOMI_STATUS_DIGEST_MISMATCH = 55,
  /// For ml: prune the model, or have the limit raised.
  OMOMI_STATUS_FILE_TOO_LARGE = 56,
  /// For delivery: raise the budget, or have the model pruned.
  OMOMI_STATUS_MEMORY_BUDGET = 57,
  /// For ml: publish the next generation, or pin the old one.
  OMOMI_STATUS_GENERATION_BEHIND = 58,
  /// For ml: agree on the contract before publishing.
  OMOMI_STATUS_CONTRACT_NOT_EXPECTED = 59,
  /// For infra: remove the write permission.
  OMOMI_STATUS_WRITABLE_BY_OTHERS = 60,
  /// For infra: write it again with omomi publish, rollback, pin, freeze, off or on.
  OMOMI_STATUS_STORE_MALFORMED = 61,
  /// For infra: publish the next generation.
  OMOMI_STATUS_NAME_REUSED = 62,
  /// For ml: find out why before it is served again.
  OMOMI_STATUS_KILLED_PROCESS = 64,
  /// For infra: replace weight files by rename only.
  OMOMI_STATUS_CHANGED_IN_PLACE = 65,
  /// For infra: publish the file under its own name.
  OMOMI_STATUS_GENERATION_MISMATCH = 66,
  /// For ml: publish a model.
  OMOMI_STATUS_NO_MODEL = 70,
  /// For delivery: switch scoring on when the reason is gone.
  OMOMI_STATUS_SWITCHED_OFF = 71,
  /// For delivery: give the server a state folder of its own that it may write.
  OMOMI_STATUS_STATE_UNUSABLE = 72,
  /// For ml: train on newer logs and publish.
  OMOMI_STATUS_STALE_TRAINING_DATA = 73,
  /// For delivery: report the defect.
  OMOMI_STATUS_PANIC = 99,
};

/// Grows with every change that needs clients to be compiled anew. Compare with `omomi_abi_version()` at start where the
/// library is found at run time.
#define OMOMI_ABI_VERSION 1

/// Length of an error's message, its null byte included. A longer message is cut at the end of a character.
#define OMOMI_MESSAGE_CAPACITY_BYTES 1024

/// The version of the request block's layout, the first word of its header.
#define OMOMI_LAYOUT_VERSION 1

/// Most values of a `many` field in one row.
#define OMOMI_MAX_VALUES_PER_FIELD 1024

/// In `OmomiAnswer.status`: the candidate has a logit and a probability.
#define OMOMI_CANDIDATE_SCORED 0

/// In `OmomiAnswer.status`: a text or a list of its row lies outside the part of the tail that is in use.
#define OMOMI_CANDIDATE_OUTSIDE_TAIL 1

/// In `OmomiAnswer.status`: a text of its row is not UTF-8.
#define OMOMI_CANDIDATE_NOT_UTF8 2

/// In `OmomiAnswer.status`: a list of its row has more than `OMOMI_MAX_VALUES_PER_FIELD` values.
#define OMOMI_CANDIDATE_TOO_MANY_VALUES 3

/// In `OmomiAnswer.status`: the candidate set holds no candidate at that index.
#define OMOMI_CANDIDATE_NO_CANDIDATE 4

/// In `OmomiAnswer.status`: the time was up before the candidate was reached.
#define OMOMI_CANDIDATE_LATE 5

/// Number of bounds of the latency buckets: `omomi_live_latency_bound_ns`.
#define OMOMI_LATENCY_BOUND_COUNT 41

/// Number of latency buckets: one below each bound, and one for what took longer than all.
#define OMOMI_LATENCY_BUCKET_COUNT 42

/// Room for the name of a field or of a cross, its null byte included.
#define OMOMI_NAME_CAPACITY_BYTES 264

/// Candidates that requests name by index: creatives live for hours, so their rows are handed over once, and each model's share of
/// the work on them is done then. Any number of threads may add, replace and remove candidates while others score: a request scores
/// each candidate as it was before a change or as it is after it, never as a mixture, and no predict waits.
typedef struct OmomiCandidateSet OmomiCandidateSet;

/// The layout of request blocks of one schema and capacity. Immutable: any number of threads may use one layout.
typedef struct OmomiLayout OmomiLayout;

/// The model that a store says is to be served, now and later: a thread of the library follows the store and verifies each
/// generation before it answers. Any number of threads may use one.
typedef struct OmomiLive OmomiLive;

/// Scores with whatever generation a live model serves: the next request after a swap is scored by the new one, and each request by one
/// throughout. Open one for each thread; a second thread that calls meanwhile gets `OMOMI_STATUS_SCORER_BUSY` at once.
typedef struct OmomiLiveScorer OmomiLiveScorer;

/// A verified weight file, ready to score. Immutable: any number of threads may use one model.
typedef struct OmomiModel OmomiModel;

/// The fields that a server can supply, declared once and good for every later model. Immutable: any number of threads may
/// use one schema.
typedef struct OmomiSchema OmomiSchema;

/// One or several models bound to a layout, with the memory that one thread needs for scoring. Open one for each thread; a second
/// thread that calls meanwhile gets `OMOMI_STATUS_SCORER_BUSY` at once, and no harm is done.
typedef struct OmomiScorer OmomiScorer;

/// What a call returns: `OMOMI_STATUS_OK` or the number of an error. Numbers are never reused, and later versions may
/// return more of them.
typedef int32_t OmomiStatus;

/// Who must act on an error: one of `OMOMI_OWNER_...`.
typedef uint32_t OmomiOwner;

/// Why a call failed. The caller sets `size_bytes` once (`OMOMI_ERROR_INIT` does); a call that fails writes the rest, a
/// call that succeeds writes nothing.
typedef struct {
  /// `sizeof(OmomiError)`, set by the caller.
  size_t size_bytes;
  /// The status that was returned.
  OmomiStatus status;
  /// Who must act.
  OmomiOwner owner;
  /// What was expected, what was found and what to do: UTF-8, with a null byte at its end.
  char message[OMOMI_MESSAGE_CAPACITY_BYTES];
} OmomiError;

/// How requests name their candidates: one of `OMOMI_CANDIDATES_...`.
typedef uint32_t OmomiCandidates;

/// What requests look like. Begin with `OMOMI_LAYOUT_OPTIONS_INIT`, which is for one model and inline candidates.
typedef struct {
  /// `sizeof(OmomiLayoutOptions)`, set by the caller.
  size_t size_bytes;
  /// Most candidates of a request, 1 to 65,536.
  size_t candidate_capacity;
  /// Bytes for texts and for the values of `many` fields, up to 64 MiB. Those of prepared candidates need none.
  size_t tail_len_bytes;
  /// Models that score a request in one call, 1 to 16.
  size_t model_count;
  /// One of `OMOMI_CANDIDATES_...`.
  OmomiCandidates candidates;
} OmomiLayoutOptions;

/// Byte offsets of a request block, all multiples of 8, and its capacity.
typedef struct {
  /// `sizeof(OmomiOffsets)`, set by the caller.
  size_t size_bytes;
  /// Start of the context row.
  size_t context_offset;
  /// Start of the first candidate row, or of the first index.
  size_t candidates_offset;
  /// From one candidate row to the next; of prepared candidates, from one index to the next: 4.
  size_t candidate_stride_bytes;
  /// Start of the first model's result: its outcome, then its answers.
  size_t results_offset;
  /// From one model's result to the next one's.
  size_t result_stride_bytes;
  /// Start of the tail.
  size_t tail_offset;
  /// Length of the whole block: what to allocate, aligned to 8 bytes, better 64.
  size_t len_bytes;
  /// Most candidates of a request.
  size_t candidate_capacity;
  /// Length of the tail.
  size_t tail_len_bytes;
  /// Models that score a request in one call.
  size_t model_count;
  /// One of `OMOMI_CANDIDATES_...`.
  OmomiCandidates candidates;
} OmomiOffsets;

/// How a weight file gets into memory: one of `OMOMI_LOAD_MODE_...`.
typedef uint32_t OmomiLoadMode;

/// The path of a file.
typedef struct {
  /// UTF-8.
  const char *path;
  /// Length of the path.
  size_t len_bytes;
} OmomiPath;

/// What signatures have to do with whether a weight file is served: one of `OMOMI_SIGNATURE_...`.
typedef uint32_t OmomiSignature;

/// How a server wants its models served. Begin with `OMOMI_LIVE_OPTIONS_INIT`, which is fit for a server that trusts its disk, and
/// change what you need. The library copies what it needs of it.
typedef struct {
  /// `sizeof(OmomiLiveOptions)`, set by the caller.
  size_t size_bytes;
  /// Name of this serving process among those that share the store: its journal, quarantine and report lie in `state/<name>`.
  /// Letters, digits, `-`, `_` and `.`, and another one for each process.
  const char *name;
  /// Length of the name.
  size_t name_len_bytes;
  /// One of `OMOMI_LOAD_MODE_...`.
  OmomiLoadMode load_mode;
  /// Deaths of the process during trials of one generation that are put down to chance; one more, and it goes into quarantine.
  uint32_t max_deaths;
  /// How often the store is looked at, above 0; each wait is up to a fifth longer or shorter.
  uint64_t poll_interval_ms;
  /// How long a new generation is on trial. The last good one stays in memory meanwhile, and takes over at once if scoring panics.
  uint64_t trial_ms;
  /// How long after the start of a process a generation whose trial the last process did not survive is tried once more.
  uint64_t retry_after_death_ms;
  /// Most bytes of a weight file.
  uint64_t max_file_len_bytes;
  /// Most bytes of all models in memory together, the one to load included.
  uint64_t memory_budget_bytes;
  /// The least generation that is served, a pin included.
  uint64_t min_generation;
  /// Fingerprints of the contracts that are served; any contract that binds if there are none.
  const uint64_t *contract_fingerprints;
  /// Number of fingerprints.
  size_t contract_fingerprint_count;
  /// Files with the public keys whose signatures count, as `omomi keygen` makes them; two while one takes the place of the other. They
  /// are read once.
  const OmomiPath *trusted_key_paths;
  /// Number of files.
  size_t trusted_key_path_count;
  /// The age of the training data from which on a reason says that it is stale; serving goes on. 0 for no limit.
  uint64_t max_training_age_seconds;
  /// One of `OMOMI_SIGNATURE_...`.
  OmomiSignature signature;
  /// 1 to serve files that their group or everybody may write, too; otherwise 0.
  uint32_t allow_writable_files;
  /// 1 to keep the served file's pages in memory (`mlock`). Where the system refuses, serving goes on and a reason says so.
  uint32_t lock_memory;
  /// 1 if the server answers by itself where there is no model: then it is ready without one.
  uint32_t has_fallback;
} OmomiLiveOptions;

/// Whether requests get answers: one of `OMOMI_SERVING_STATE_...`.
typedef uint32_t OmomiServingState;

/// What people decided over the head of what is published: one of `OMOMI_CONTROL_...`.
typedef uint32_t OmomiControl;

/// What a live model says of itself. `omomi_live_status_json` says more: every reason, attempt and quarantined file.
typedef struct {
  /// `sizeof(OmomiLiveStatus)`, set by the caller.
  size_t size_bytes;
  /// Whether requests get answers.
  OmomiServingState state;
  /// What people decided, as this process understood it last.
  OmomiControl control;
  /// The generation that people pinned; 0 where they did not.
  uint64_t pinned_generation;
  /// 1 if there is a generation that answers, or would if scoring were not switched off. The members up to
  /// `training_end_unix_seconds` speak of it, and are 0 otherwise.
  uint32_t has_generation;
  /// 1 while it is on trial.
  uint32_t is_on_trial;
  /// Its number.
  uint64_t generation;
  /// Number of its weights.
  uint64_t weight_count;
  /// Length of its file.
  uint64_t file_len_bytes;
  /// Fingerprint of its contract.
  uint64_t contract_fingerprint;
  /// Since when it answers, in seconds since 1970.
  uint64_t since_unix_seconds;
  /// How its bytes are in memory; a mapped file that was changed in place becomes a copy.
  OmomiLoadMode load_mode;
  /// 1 if it says when the data ends that it was trained on.
  uint32_t has_training_end;
  /// The end of that data, in seconds since 1970.
  int64_t training_end_unix_seconds;
  /// Generations that are no longer served and still in memory.
  size_t retired_count;
  /// Bytes of all models in memory.
  uint64_t mapped_bytes;
  /// Of these, the bytes that lie in memory now; 0 where the system does not say.
  uint64_t resident_bytes;
  /// Things that are not as they should be; 0 if all is well.
  size_t reason_count;
  /// Contents that are not tried again.
  size_t quarantined_count;
  /// When all of this was so, in seconds since 1970.
  uint64_t heartbeat_unix_seconds;
} OmomiLiveStatus;

/// The numbers of a live model at one moment. Those that are called counts of what happened (requests, candidates, categories, latency,
/// swaps) are since the live model was opened and never go down.
typedef struct {
  /// `sizeof(OmomiLiveMetrics)`, set by the caller.
  size_t size_bytes;
  /// Requests that were scored.
  uint64_t prediction_count;
  /// Requests that were refused, such as one whose context is malformed.
  uint64_t failed_count;
  /// Requests that ended in a defect of the library, which was caught.
  uint64_t panic_count;
  /// Requests while there was no model.
  uint64_t no_model_count;
  /// Requests while scoring was switched off.
  uint64_t off_count;
  /// Requests while another thread used the same scorer.
  uint64_t busy_count;
  /// Candidates that were scored.
  uint64_t scored_count;
  /// Candidates that were malformed.
  uint64_t refused_count;
  /// Candidates that were not reached in time.
  uint64_t late_count;
  /// Categories without a weight; crosses do not count.
  uint64_t unseen_count;
  /// Fields that the model reads and that had no value.
  uint64_t missing_count;
  /// Numbers outside the range of their field, which count as missing, too.
  uint64_t invalid_number_count;
  /// Scored requests by how long they took: bucket i is below bound i and not below bound i - 1.
  uint64_t latency_counts[OMOMI_LATENCY_BUCKET_COUNT];
  /// What all of them took together, in nanoseconds.
  uint64_t latency_sum_ns;
  /// Attempts after which a generation was served.
  uint64_t swap_served_count;
  /// Attempts after which a generation was refused; the Prometheus text has them by reason and owner.
  uint64_t swap_refused_count;
  /// Attempts that were given up because people decided otherwise meanwhile.
  uint64_t swap_interrupted_count;
  /// Generations that were taken out of service, for whatever reason.
  uint64_t swap_withdrawn_count;
  /// What the last attempt took, in nanoseconds; 0 before the first. The Prometheus text has its stages.
  uint64_t last_load_ns;
  /// Whether requests get answers.
  OmomiServingState state;
  /// What people decided.
  OmomiControl control;
  /// 1 if the library's thread looks at the store or loads a generation. Requests are answered without it, too, but no publication
  /// and no `off` reaches them: a reason to restart the process.
  uint32_t is_live;
  /// 1 if requests may be sent here: a generation answers, or the server answers by its own logic, because scoring was switched off or
  /// because `OmomiLiveOptions.has_fallback` says that it does without a model.
  uint32_t is_ready;
  /// 1 if there is a generation that answers, or would if scoring were not switched off. The members up to
  /// `training_end_unix_seconds` speak of it, and are 0 otherwise.
  uint32_t has_generation;
  /// 1 while it is on trial.
  uint32_t is_on_trial;
  /// Its number.
  uint64_t generation;
  /// Number of its weights.
  uint64_t weight_count;
  /// Length of its file.
  uint64_t file_len_bytes;
  /// Since when it answers, in seconds since 1970.
  uint64_t since_unix_seconds;
  /// How its bytes are in memory.
  OmomiLoadMode load_mode;
  /// 1 if it says when the data ends that it was trained on.
  uint32_t has_training_end;
  /// The end of that data, in seconds since 1970.
  int64_t training_end_unix_seconds;
  /// Things that are not as they should be; 0 if all is well.
  uint64_t reason_count;
  /// Contents that are not tried again.
  uint64_t quarantined_count;
  /// Generations that are no longer served and still in memory.
  uint64_t retired_count;
  /// Bytes of all models in memory.
  uint64_t mapped_bytes;
  /// Of these, the bytes that lie in memory now; 0 where the system does not say.
  uint64_t resident_bytes;
  /// Requests whose categories were counted by field, for the Prometheus text.
  uint64_t sampled_request_count;
  /// When the library's thread last looked at the store, in seconds since 1970.
  uint64_t last_pass_unix_seconds;
  /// When this was taken, in seconds since 1970.
  uint64_t taken_unix_seconds;
} OmomiLiveMetrics;

/// The account of one candidate's probability.
typedef struct {
  /// `sizeof(OmomiExplanation)`, set by the caller.
  size_t size_bytes;
  /// Number of features, present in the file or unseen.
  size_t contribution_count;
  /// The weight that is always on.
  double bias;
  /// The logit, the same bits as predict gives.
  double logit;
  /// The probability, the same bits as predict gives.
  float probability;
} OmomiExplanation;

/// What one feature adds to the logit.
typedef struct {
  /// Its feature key.
  uint64_t key;
  /// Its weight on the logit scale; 0 for an unseen category.
  float weight;
  /// 1 where the file has a weight for it, 0 for an unseen category.
  uint32_t has_weight;
  /// Name of the field, or of the cross ("media_id*creative_id"), with a null byte at its end.
  char name[OMOMI_NAME_CAPACITY_BYTES];
} OmomiContribution;

/// How to open a weight file.
typedef struct {
  /// `sizeof(OmomiOpenOptions)`, set by the caller.
  size_t size_bytes;
  /// One of `OMOMI_LOAD_MODE_...`.
  OmomiLoadMode load_mode;
} OmomiOpenOptions;

/// What is known of a model.
typedef struct {
  /// `sizeof(OmomiModelInfo)`, set by the caller.
  size_t size_bytes;
  /// Generation of the training run.
  uint64_t generation;
  /// Number of weights, the bias excluded.
  uint64_t weight_count;
  /// Length of the file.
  uint64_t file_len_bytes;
  /// Fingerprint of the contract: two models mean the same by their fields exactly when these are equal.
  uint64_t contract_fingerprint;
  /// The weight that is always on, on the logit scale.
  double bias;
} OmomiModelInfo;

/// The side of a request that a field belongs to: one of `OMOMI_SIDE_...`.
typedef uint32_t OmomiSide;

/// The type of a field: one of `OMOMI_KIND_...`.
typedef uint32_t OmomiKind;

/// One declared field. `omomi_id_field`, `omomi_text_field`, `omomi_number_field` and `omomi_many` fill it.
typedef struct {
  /// `sizeof(OmomiField)`, set by the caller.
  size_t size_bytes;
  /// Name, as in the contract: UTF-8; needs no null byte.
  const char *name;
  /// Length of the name.
  size_t name_len_bytes;
  /// One of `OMOMI_SIDE_...`.
  OmomiSide side;
  /// One of `OMOMI_KIND_...`.
  OmomiKind kind;
  /// 1 where a row has zero or more values of it, otherwise 0.
  uint32_t many;
  /// 0.
  uint32_t reserved;
  /// Of a number its unit, as in the contract; otherwise not read.
  const char *unit;
  /// Length of the unit.
  size_t unit_len_bytes;
  /// Of a number its least value, as in the contract; otherwise not read.
  double range_min;
  /// Of a number its greatest value, as in the contract; otherwise not read.
  double range_max;
} OmomiField;

/// Where a declared field lies in the rows of its side, and what it holds. Ask once, keep it, and pass it to the setters.
typedef struct {
  /// One of `OMOMI_SIDE_...`.
  OmomiSide side;
  /// Index of the slot in a row of that side, counted from 0.
  uint32_t index;
  /// One of `OMOMI_KIND_...`.
  OmomiKind kind;
  /// 1 where a row has zero or more values of it, otherwise 0.
  uint32_t many;
} OmomiSlot;

/// The front of a request block. The caller writes the first two members: `omomi_request_init` and the setters do.
typedef struct {
  /// `OMOMI_LAYOUT_VERSION`.
  uint32_t layout_version;
  /// Bytes of the tail that this request uses.
  uint32_t tail_used_bytes;
  /// Left alone.
  uint32_t reserved[14];
} OmomiHeader;

/// The front of a model's result, which predict writes: what happened. The answers follow.
typedef struct {
  /// Generation of the model that answered.
  uint64_t generation;
  /// Candidates with a probability.
  uint32_t scored_count;
  /// Candidates that were refused, each with its status in its answer.
  uint32_t refused_count;
  /// Candidates that were not reached before the time was up.
  uint32_t late_count;
  /// Categories for which the model has no weight: of the context once, of each scored candidate; crosses not counted.
  uint32_t unseen_count;
  /// Fields that the model reads and a row leaves empty: of the context once, of each scored candidate.
  uint32_t missing_count;
  /// Numbers out of range or NaN; they count as missing as well.
  uint32_t invalid_number_count;
  /// Left alone.
  uint32_t reserved[8];
} OmomiOutcome;

/// The front of a row. Slots of 8 bytes follow, one for each field of the side in the order of declaration.
typedef struct {
  /// Bit i: slot i has a value.
  uint64_t present;
  /// Bit i: text slot i refers to bytes in the tail; clear where it holds a text value.
  uint64_t inline_text;
} OmomiRowHead;

/// The answer for one candidate.
typedef struct {
  /// The logit; NaN where the candidate was not scored.
  double logit;
  /// The probability, in (0, 1); NaN where the candidate was not scored.
  float probability;
  /// `OMOMI_CANDIDATE_SCORED`, or why the candidate was not.
  uint32_t status;
} OmomiAnswer;

/// Nobody: there is no error.
#define OMOMI_OWNER_NONE 0

/// The team that trains and packs.
#define OMOMI_OWNER_ML 1

/// The team that runs the server.
#define OMOMI_OWNER_DELIVERY 2

/// Whoever keeps machines, disks and copies.
#define OMOMI_OWNER_INFRA 3

/// By their rows, in the request.
#define OMOMI_CANDIDATES_INLINE 0

/// By their indices in an `OmomiCandidateSet`, which holds their rows.
#define OMOMI_CANDIDATES_PREPARED 1

/// A generation answers.
#define OMOMI_SERVING_STATE_SERVING 0

/// There is none that could be served yet: predict returns `OMOMI_STATUS_NO_MODEL`.
#define OMOMI_SERVING_STATE_NO_MODEL 1

/// People switched scoring off: predict returns `OMOMI_STATUS_SWITCHED_OFF`.
#define OMOMI_SERVING_STATE_OFF 2

/// Nothing: what is published is served.
#define OMOMI_CONTROL_FOLLOW 0

/// What is served stays served.
#define OMOMI_CONTROL_FREEZE 1

/// Nothing is served.
#define OMOMI_CONTROL_OFF 2

/// One generation is served, whatever is published.
#define OMOMI_CONTROL_PIN 3

/// Nothing: they are not looked at.
#define OMOMI_SIGNATURE_OFF 0

/// A signature by a trusted key has to be right; files without one are served: for the time in which signing is introduced.
#define OMOMI_SIGNATURE_ACCEPT 1

/// A right signature by a trusted key has to be there.
#define OMOMI_SIGNATURE_REQUIRE 2

/// A shared mapping: all processes of the machine share one copy. The file must be replaced by rename, never written.
#define OMOMI_LOAD_MODE_MAP 0

/// A private copy, in huge pages where the system gives them: immune to whatever happens to the file later.
#define OMOMI_LOAD_MODE_COPY 1

/// Shared by all candidates of a request: user, media, slot, time.
#define OMOMI_SIDE_CONTEXT 0

/// Of one candidate: creative, campaign, advertiser.
#define OMOMI_SIDE_CANDIDATE 1

/// 64-bit integers.
#define OMOMI_KIND_ID 0

/// UTF-8 texts.
#define OMOMI_KIND_TEXT 1

/// Doubles.
#define OMOMI_KIND_NUMBER 2

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/// The ABI version of the library that answers.
uint32_t omomi_abi_version(void);

/// The release of the library, such as "0.1.0". Static text.
const char *omomi_version(void);

/// The name of a status, such as "null_argument", the same in every language; "unknown" for a number that this library
/// does not return. Static text.
const char *omomi_status_name(OmomiStatus status);

/// What the owner of a status must do, such as "publish it again"; empty for `OMOMI_STATUS_OK` and for unknown numbers.
/// Static text.
const char *omomi_status_action(OmomiStatus status);

/// Who must act on a status; `OMOMI_OWNER_NONE` for `OMOMI_STATUS_OK` and for unknown numbers.
OmomiOwner omomi_status_owner(OmomiStatus status);

/// The name of an owner: "ml", "delivery", "infra", or "none". Static text.
const char *omomi_owner_name(OmomiOwner owner);

/// Panics inside the library on purpose and returns `OMOMI_STATUS_PANIC`: proves, for the build that you deploy, that a
/// defect in the library costs a call and not the process. Prints a line to stderr, as every panic does.
///
/// The caller promises:
/// `error` is null or points to an `OmomiError`.
OmomiStatus omomi_test_panic(OmomiError *error);

/// An empty set for up to `candidate_capacity` candidates (1 to 1,048,576), whose rows will come from requests of `layout`, which
/// has inline candidates. A `many` field of a row may have up to `values_per_field` values (0 to
/// `OMOMI_MAX_VALUES_PER_FIELD`); memory is taken for that many. Close the set with `omomi_candidate_set_close`.
///
/// The caller promises:
/// `layout` is null or open; `out_set` and `error` are null or writable.
OmomiStatus omomi_candidate_set_open(const OmomiLayout *layout,
                                     size_t candidate_capacity,
                                     size_t values_per_field,
                                     OmomiCandidateSet **out_set,
                                     OmomiError *error);

/// Gives a candidate set back. Scorers that were opened with it go on working with the candidates that it had. Null is left alone.
///
/// The caller promises:
/// `set` is null, or is open and used by nobody from now on.
void omomi_candidate_set_close(OmomiCandidateSet *set);

/// Adds the candidate whose row is that of candidate `candidate` (counted from 0) of the request in `block`, and writes its index in
/// the set: the lowest that is free. The context row is not read.
///
/// `OMOMI_STATUS_TOO_MANY_CANDIDATES` if the set is full or the request has no such row, `OMOMI_STATUS_INVALID_ARGUMENT` with the
/// field's name in the message if the row cannot be read or has more values than the set takes. The set is as it was then.
///
/// The caller promises:
/// `set` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `out_index` and `error` are
/// null or writable.
OmomiStatus omomi_candidate_set_add(const OmomiCandidateSet *set,
                                    void *block,
                                    size_t block_len_bytes,
                                    size_t candidate,
                                    uint32_t *out_index,
                                    OmomiError *error);

/// Puts the candidate whose row is that of candidate `candidate` of the request in `block` at `index`, in place of what was there.
///
/// As `omomi_candidate_set_add` otherwise; `OMOMI_STATUS_INVALID_ARGUMENT` also for an index that is not below the set's capacity.
///
/// The caller promises:
/// `set` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `error` is null or writable.
OmomiStatus omomi_candidate_set_put(const OmomiCandidateSet *set,
                                    uint32_t index,
                                    void *block,
                                    size_t block_len_bytes,
                                    size_t candidate,
                                    OmomiError *error);

/// Removes the candidate at `index`; whether there was one is written to `out_removed` as 1 or 0, unless that is null. A request that
/// names it from now on gets `OMOMI_CANDIDATE_NO_CANDIDATE` for it.
///
/// `OMOMI_STATUS_INVALID_ARGUMENT` for an index that is not below the set's capacity.
///
/// The caller promises:
/// `set` is null or open; `out_removed` and `error` are null or writable.
OmomiStatus omomi_candidate_set_remove(const OmomiCandidateSet *set,
                                       uint32_t index,
                                       uint32_t *out_removed,
                                       OmomiError *error);

/// The number of candidates in a set.
///
/// The caller promises:
/// `set` is null or open; `out_count` and `error` are null or writable.
OmomiStatus omomi_candidate_set_count(const OmomiCandidateSet *set, size_t *out_count, OmomiError *error);

/// The value of a text, for `omomi_set_text_value`: computed once for a text that recurs, it saves passing the text with
/// every request.
///
/// The caller promises:
/// `text` is null or points to `text_len_bytes` readable bytes; `out_value` and `error` are null or writable.
OmomiStatus omomi_text_value(const char *text,
                             size_t text_len_bytes,
                             uint64_t *out_value,
                             OmomiError *error);

/// The feature key of `value` in the field called `name`. The value is the id itself, a text's value, or a number's
/// bucket. For tools and tests; scoring needs no keys from its caller.
///
/// The caller promises:
/// `name` is null or points to `name_len_bytes` readable bytes; `out_key` and `error` are null or writable.
OmomiStatus omomi_feature_key(const char *name,
                              size_t name_len_bytes,
                              uint64_t value,
                              uint64_t *out_key,
                              OmomiError *error);

/// The feature key of crossed features: `name` is the members' names in contract order joined by "*", `member_keys` are
/// their feature keys in the same order. For tools and tests.
///
/// The caller promises:
/// `name` is null or points to `name_len_bytes` readable bytes, `member_keys` is null or points to `member_count` keys;
/// `out_key` and `error` are null or writable.
OmomiStatus omomi_cross_key(const char *name,
                            size_t name_len_bytes,
                            const uint64_t *member_keys,
                            size_t member_count,
                            uint64_t *out_key,
                            OmomiError *error);

/// The layout of requests of up to `candidate_capacity` candidates (1 to 65,536), with a tail of `tail_len_bytes` (up to
/// 64 MiB) for texts and for the values of `many` fields. Close it with `omomi_layout_close`.
///
/// The caller promises:
/// `schema` is null or open; `out_layout` and `error` are null or writable.
OmomiStatus omomi_layout_open(const OmomiSchema *schema,
                              size_t candidate_capacity,
                              size_t tail_len_bytes,
                              OmomiLayout **out_layout,
                              OmomiError *error);

/// The same for requests of prepared candidates, or for several models: as `options` say.
///
/// The caller promises:
/// `schema` is null or open; `options` is null or points to its struct; `out_layout` and `error` are null or writable.
OmomiStatus omomi_layout_open_with(const OmomiSchema *schema,
                                   const OmomiLayoutOptions *options,
                                   OmomiLayout **out_layout,
                                   OmomiError *error);

/// Gives a layout back. Scorers and candidate sets that were opened with it go on working. Null is left alone.
///
/// The caller promises:
/// `layout` is null, or is open and used by nobody from now on.
void omomi_layout_close(OmomiLayout *layout);

/// Writes the offsets of a layout's request blocks. The caller sets `out_offsets->size_bytes`.
///
/// The caller promises:
/// `layout` is null or open; `out_offsets` and `error` are null or writable.
OmomiStatus omomi_layout_offsets(const OmomiLayout *layout, OmomiOffsets *out_offsets, OmomiError *error);

/// Follows the store in the directory `dir` for a server that declares `schema`, and returns when it has been looked at once: then a
/// good generation is served already, if there is one. Never fails because of what is in the store, a directory that is not there
/// included: `omomi_live_status_json` has the reasons. Starts a thread; close the live model with `omomi_live_close`.
///
/// `options` may be null: as `OMOMI_LIVE_OPTIONS_INIT` then. `OMOMI_STATUS_INVALID_ARGUMENT` for options that would never work.
///
/// The caller promises:
/// `dir` is null or points to `dir_len_bytes` readable bytes, `schema` is null or open, `options` is null or points to its struct,
/// whose texts and arrays are as long as it says; `out_live` and `error` are null or writable.
OmomiStatus omomi_live_open(const char *dir,
                            size_t dir_len_bytes,
                            const OmomiSchema *schema,
                            const OmomiLiveOptions *options,
                            OmomiLive **out_live,
                            OmomiError *error);

/// Gives a live model back and ends its thread. Live scorers go on with the generation that they have. Null is left alone.
///
/// The caller promises:
/// `live` is null, or is open and used by nobody from now on.
void omomi_live_close(OmomiLive *live);

/// Looks at the store now instead of at the next poll, and returns when that is done: seconds, if there is a large file to load.
/// That nothing good was found is no error.
///
/// The caller promises:
/// `live` is null or open; `error` is null or writable.
OmomiStatus omomi_live_look_now(const OmomiLive *live,
                                OmomiError *error);

/// Writes what a live model says of itself, as it was at the last look. The caller sets `out_status->size_bytes`
/// (`OMOMI_LIVE_STATUS_INIT` does).
///
/// The caller promises:
/// `live` is null or open; `out_status` and `error` are null or writable.
OmomiStatus omomi_live_status(const OmomiLive *live, OmomiLiveStatus *out_status, OmomiError *error);

/// Copies all that a live model says of itself, as a JSON object with a null byte, into the caller's buffer; see "Texts" above. It is
/// what `state/<name>/report.json` holds: the generation with its logic id, reasons with code, owner and action, the last attempts with
/// what each step took, what is in quarantine. The text may have grown since its length was asked for, and the status is
/// `OMOMI_STATUS_WRONG_SIZE` then: ask again.
///
/// The caller promises:
/// `live` is null or open; `out_text` is null or has `capacity_bytes` writable bytes; `out_len_bytes` and `error` are null or
/// writable.
OmomiStatus omomi_live_status_json(const OmomiLive *live,
                                   char *out_text,
                                   size_t capacity_bytes,
                                   size_t *out_len_bytes,
                                   OmomiError *error);

/// Copies the name of the serving logic of a generation that answers, or did lately, with a null byte, into the caller's buffer: what is
/// logged with its scores. See "Texts" above. `OMOMI_STATUS_INVALID_ARGUMENT` for any other generation. Keep the name, and ask
/// again when `OmomiOutcome.generation` is another one.
///
/// The caller promises:
/// As `omomi_live_status_json`.
OmomiStatus omomi_live_logic_id(const OmomiLive *live,
                                uint64_t generation,
                                char *out_text,
                                size_t capacity_bytes,
                                size_t *out_len_bytes,
                                OmomiError *error);

/// Writes the numbers of this moment. Allocates nothing, and no request waits for it; it may itself wait a moment for the library's thread,
/// so it is for a thread that serves no request. The caller sets `out_metrics->size_bytes` (`OMOMI_LIVE_METRICS_INIT` does).
///
/// The caller promises:
/// `live` is null or open; `out_metrics` and `error` are null or writable.
OmomiStatus omomi_live_metrics(const OmomiLive *live,
                               OmomiLiveMetrics *out_metrics,
                               OmomiError *error);

/// The bound of latency bucket `index` in nanoseconds; `UINT64_MAX` for the last bucket and for numbers beyond it.
uint64_t omomi_live_latency_bound_ns(size_t index);

/// Copies the numbers of one or several live models, whose stores have different names, into the caller's buffer as Prometheus text
/// (`text/plain; version=0.0.4`) with a null byte; see "Texts" above. Every series has the labels `store`, the name of the store's
/// directory, and `logic_id`. The text may have grown since its length was asked for, and the status is `OMOMI_STATUS_WRONG_SIZE` then: keep
/// a buffer of twice the length. For one live model nothing is allocated.
///
/// The caller promises:
/// `lives` is null or points to `live_count` pointers, each of them null or an open live model; `out_text` is null or has
/// `capacity_bytes` writable bytes; `out_len_bytes` and `error` are null or writable.
OmomiStatus omomi_live_prometheus(const OmomiLive *const *lives,
                                  size_t live_count,
                                  char *out_text,
                                  size_t capacity_bytes,
                                  size_t *out_len_bytes,
                                  OmomiError *error);

/// A scorer for requests of `layout`, which is for one model, with the generation that is served and every later one. `set` is null unless
/// the layout is for prepared candidates; a later generation is prepared before it is swapped in. The scorer keeps what it needs:
/// closing layout, set or live model never touches it, but without its live model it sees no later generation. Close it with
/// `omomi_live_scorer_close`.
///
/// `OMOMI_STATUS_INVALID_ARGUMENT` for a layout of another schema than the live model's, of several models, or for other candidates
/// than `set` says. That there is no model yet is no error.
///
/// The caller promises:
/// `live`, `layout` and `set` are null or open; `out_scorer` and `error` are null or writable.
OmomiStatus omomi_live_scorer_open(const OmomiLive *live,
                                   const OmomiLayout *layout,
                                   const OmomiCandidateSet *set,
                                   OmomiLiveScorer **out_scorer,
                                   OmomiError *error);

/// Gives a live scorer back. Null is left alone.
///
/// The caller promises:
/// `scorer` is null, or is open and used by nobody from now on.
void omomi_live_scorer_close(OmomiLiveScorer *scorer);

/// Scores the first `candidate_count` candidates of the request in `block`, as `omomi_scorer_predict` does; the outcome says which
/// generation answered. Allocates nothing and waits for nothing, whatever happens in the store meanwhile.
///
/// Two statuses are no failures but part of a server's days, and it answers by its own logic then: `OMOMI_STATUS_NO_MODEL` while
/// there is no generation that could be served, and `OMOMI_STATUS_SWITCHED_OFF` while people have switched scoring off. The call has
/// written no answers, and costs less than one that has.
///
/// The caller promises:
/// `scorer` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `error` is null or
/// writable.
OmomiStatus omomi_live_scorer_predict(const OmomiLiveScorer *scorer,
                                      void *block,
                                      size_t block_len_bytes,
                                      size_t candidate_count,
                                      OmomiError *error);

/// The same within a time: see `omomi_scorer_predict_within`.
///
/// The caller promises:
/// As `omomi_live_scorer_predict`.
OmomiStatus omomi_live_scorer_predict_within(const OmomiLiveScorer *scorer,
                                             void *block,
                                             size_t block_len_bytes,
                                             size_t candidate_count,
                                             uint64_t budget_us,
                                             OmomiError *error);

/// Why candidate `candidate` of the request in `block` gets its probability from the generation that answers now, which may be a later one
/// than in the last predict: see `omomi_scorer_explain`. `OMOMI_STATUS_NO_MODEL` if there is none.
///
/// The caller promises:
/// As `omomi_live_scorer_predict`; `out_explanation` is null or writable, `out_contributions` is null or has room for
/// `contribution_capacity` structs.
OmomiStatus omomi_live_scorer_explain(const OmomiLiveScorer *scorer,
                                      void *block,
                                      size_t block_len_bytes,
                                      size_t candidate,
                                      OmomiExplanation *out_explanation,
                                      OmomiContribution *out_contributions,
                                      size_t contribution_capacity,
                                      OmomiError *error);

/// Opens the weight file at `path`, verifies every byte, and recomputes its golden requests; nothing can be scored before
/// that went well. Reads the whole file, so not for a request's thread. Every kind of damage has its own status. Close the
/// model with `omomi_model_close`.
///
/// `options` may be null: the file is mapped then.
///
/// The caller promises:
/// `path` is null or points to `path_len_bytes` readable bytes, `options` is null or points to its struct; `out_model` and
/// `error` are null or writable.
OmomiStatus omomi_model_open(const char *path,
                             size_t path_len_bytes,
                             const OmomiOpenOptions *options,
                             OmomiModel **out_model,
                             OmomiError *error);

/// Gives a model back. Scorers that were opened on it go on working. Null is left alone.
///
/// The caller promises:
/// `model` is null, or is open and used by nobody from now on.
void omomi_model_close(OmomiModel *model);

/// Writes what is known of a model. The caller sets `out_info->size_bytes`.
///
/// The caller promises:
/// `model` is null or open; `out_info` and `error` are null or writable.
OmomiStatus omomi_model_info(const OmomiModel *model, OmomiModelInfo *out_info, OmomiError *error);

/// Copies the name of the serving logic, with a null byte, into the caller's buffer; see "Texts" above.
///
/// The caller promises:
/// `model` is null or open; `out_text` is null or has `capacity_bytes` writable bytes; `out_len_bytes` and `error` are null
/// or writable.
OmomiStatus omomi_model_logic_id(const OmomiModel *model,
                                 char *out_text,
                                 size_t capacity_bytes,
                                 size_t *out_len_bytes,
                                 OmomiError *error);

/// Copies the contract as canonical JSON, with a null byte, into the caller's buffer; see "Texts" above.
///
/// The caller promises:
/// As `omomi_model_logic_id`.
OmomiStatus omomi_model_contract_json(const OmomiModel *model,
                                      char *out_text,
                                      size_t capacity_bytes,
                                      size_t *out_len_bytes,
                                      OmomiError *error);

/// Declares the fields that a server can supply. Each side keeps the order given. Close the schema with
/// `omomi_schema_close`.
///
/// `OMOMI_STATUS_SCHEMA_INVALID` for a name that stands twice or is empty, more than 64 fields on a side, a number that is
/// `many`, or a range that is not two finite numbers, the lesser first.
///
/// The caller promises:
/// `fields` is null or points to `field_count` structs whose texts are as long as they say; `out_schema` and `error` are
/// null or writable.
OmomiStatus omomi_schema_open(const OmomiField *fields,
                              size_t field_count,
                              OmomiSchema **out_schema,
                              OmomiError *error);

/// Declares exactly what a model asks for, in contract order. For tools and tests; a server that declares its fields by
/// itself finds out when the other team changes its mind. Close the schema with `omomi_schema_close`.
///
/// The caller promises:
/// `model` is null or open; `out_schema` and `error` are null or writable.
OmomiStatus omomi_schema_of_model(const OmomiModel *model, OmomiSchema **out_schema, OmomiError *error);

/// Gives a schema back. Layouts that were made of it go on working. Null is left alone.
///
/// The caller promises:
/// `schema` is null, or is open and used by nobody from now on.
void omomi_schema_close(OmomiSchema *schema);

/// Where the field called `name` lies; `OMOMI_STATUS_UNKNOWN_FIELD` if it is not declared.
///
/// The caller promises:
/// `schema` is null or open; `name` is null or points to `name_len_bytes` readable bytes; `out_slot` and `error` are null or
/// writable.
OmomiStatus omomi_schema_slot(const OmomiSchema *schema,
                              const char *name,
                              size_t name_len_bytes,
                              OmomiSlot *out_slot,
                              OmomiError *error);

/// Binds a model to a layout. The scorer keeps what it needs of both: closing or replacing them never touches it. Close it
/// with `omomi_scorer_close`.
///
/// `OMOMI_STATUS_FIELD_MISSING` or `OMOMI_STATUS_FIELD_MISMATCH`, with the field's name in the message, if the model needs
/// what the layout's schema does not declare, or declares otherwise.
///
/// The caller promises:
/// `model` and `layout` are null or open; `out_scorer` and `error` are null or writable.
OmomiStatus omomi_scorer_open(const OmomiModel *model,
                              const OmomiLayout *layout,
                              OmomiScorer **out_scorer,
                              OmomiError *error);

/// Binds several models, prepared candidates, or both, to a layout that was made for as many models and for such candidates. One call
/// then scores a request for all of the models (the arms of a test, a shadow), which costs less than a call for each. Each answers as it
/// would alone, but a context row that one of them cannot read fails the call. `set` is null unless the layout is for prepared
/// candidates; a model that is new to the set is prepared now, which takes the time of some look-ups for each candidate.
///
/// As `omomi_scorer_open` otherwise; `OMOMI_STATUS_INVALID_ARGUMENT` if `model_count` or `set` is not what the layout is for, or if the
/// set is of another schema.
///
/// The caller promises:
/// `models` is null or points to `model_count` pointers, each of them null or an open model; `layout` and `set` are null or open;
/// `out_scorer` and `error` are null or writable.
OmomiStatus omomi_scorer_open_with(const OmomiModel *const *models,
                                   size_t model_count,
                                   const OmomiLayout *layout,
                                   const OmomiCandidateSet *set,
                                   OmomiScorer **out_scorer,
                                   OmomiError *error);

/// Gives a scorer back. Null is left alone.
///
/// The caller promises:
/// `scorer` is null, or is open and used by nobody from now on.
void omomi_scorer_close(OmomiScorer *scorer);

/// Scores the first `candidate_count` candidates of the request in `block` and writes an answer for each of them, and the
/// counts. Allocates nothing and waits for nothing, also when it fails.
///
/// A candidate whose row cannot be read costs itself only: its answer has a status and no probability. A context row
/// that cannot be read fails the call with `OMOMI_STATUS_CONTEXT_MALFORMED`. A call that fails writes no answer.
///
/// `block` must be aligned to 8 bytes and `block_len_bytes` long, exactly as long as the scorer's layout says.
///
/// The caller promises:
/// `scorer` is null or open; `block` is null or points to `block_len_bytes` readable and writable bytes; `error` is null or
/// writable.
OmomiStatus omomi_scorer_predict(const OmomiScorer *scorer,
                                 void *block,
                                 size_t block_len_bytes,
                                 size_t candidate_count,
                                 OmomiError *error);

/// The same, but begins no further chunk of up to 256 candidates once `budget_us` microseconds have passed since the call. Candidates
/// that were not reached have the status `OMOMI_CANDIDATE_LATE` and no probability, and are counted; for several models they are the
/// same ones. That the time was up is no error.
///
/// The caller promises:
/// As `omomi_scorer_predict`.
OmomiStatus omomi_scorer_predict_within(const OmomiScorer *scorer,
                                        void *block,
                                        size_t block_len_bytes,
                                        size_t candidate_count,
                                        uint64_t budget_us,
                                        OmomiError *error);

/// Why candidate `candidate` (counted from 0) of the request in `block` gets its probability from the first model: the account, and what each
/// feature adds, in the order in which they add. Allocates; not for the serving path.
///
/// `out_contributions` may be null with a capacity of 0: then only the account is written, with the number of
/// contributions to make room for. `OMOMI_STATUS_WRONG_SIZE` if the capacity is too small otherwise. The caller sets
/// `out_explanation->size_bytes`.
///
/// The caller promises:
/// As `omomi_scorer_predict`; `out_explanation` is null or writable, `out_contributions` is null or has room for
/// `contribution_capacity` structs.
OmomiStatus omomi_scorer_explain(const OmomiScorer *scorer,
                                 void *block,
                                 size_t block_len_bytes,
                                 size_t candidate,
                                 OmomiExplanation *out_explanation,
                                 OmomiContribution *out_contributions,
                                 size_t contribution_capacity,
                                 OmomiError *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus


/*
 * REQUESTS
 *
 * Static inline functions that fill and read a request block, so that nobody computes offsets. They allocate nothing. A
 * setter that fails writes nothing; setting a field twice keeps the last value.
 */

#if defined(__BYTE_ORDER__) && defined(__ORDER_BIG_ENDIAN__)
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "omomi.h fills request blocks on little-endian machines only"
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// Initializers that set size_bytes: `OmomiError error = OMOMI_ERROR_INIT;`.
#define OMOMI_ERROR_INIT { sizeof(OmomiError), OMOMI_STATUS_OK, OMOMI_OWNER_NONE, { 0 } }
#define OMOMI_OPEN_OPTIONS_INIT { sizeof(OmomiOpenOptions), OMOMI_LOAD_MODE_MAP }
#define OMOMI_MODEL_INFO_INIT { sizeof(OmomiModelInfo), 0, 0, 0, 0, 0.0 }
#define OMOMI_LAYOUT_OPTIONS_INIT { sizeof(OmomiLayoutOptions), 0, 0, 1, OMOMI_CANDIDATES_INLINE }
#define OMOMI_OFFSETS_INIT { sizeof(OmomiOffsets), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, OMOMI_CANDIDATES_INLINE }
#define OMOMI_EXPLANATION_INIT { sizeof(OmomiExplanation), 0, 0.0, 0.0, 0.0f }
#define OMOMI_LIVE_OPTIONS_INIT                                                                                        \
  { sizeof(OmomiLiveOptions), "server", 6, OMOMI_LOAD_MODE_MAP, 1, 1000, 30000, 600000, UINT64_MAX, UINT64_MAX, 0,     \
    NULL, 0, NULL, 0, 0, OMOMI_SIGNATURE_OFF, 0, 0, 0 }
#define OMOMI_LIVE_METRICS_INIT                                                                                        \
  { sizeof(OmomiLiveMetrics), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, { 0 }, 0, 0, 0, 0, 0, 0,                             \
    OMOMI_SERVING_STATE_NO_MODEL, OMOMI_CONTROL_FOLLOW, 0, 0, 0, 0, 0, 0, 0, 0, OMOMI_LOAD_MODE_MAP, 0, 0, 0, 0, 0, 0, \
    0, 0, 0, 0 }
#define OMOMI_LIVE_STATUS_INIT                                                                                         \
  { sizeof(OmomiLiveStatus), OMOMI_SERVING_STATE_NO_MODEL, OMOMI_CONTROL_FOLLOW, 0, 0, 0, 0, 0, 0, 0, 0,               \
    OMOMI_LOAD_MODE_MAP, 0, 0, 0, 0, 0, 0, 0, 0 }

/// A field of 64-bit integers. `name` ends with a null byte and lives until the schema is open.
static inline OmomiField omomi_id_field(const char *name, OmomiSide side) {
  OmomiField field;
  memset(&field, 0, sizeof field);
  field.size_bytes = sizeof field;
  field.name = name;
  field.name_len_bytes = name == NULL ? 0 : strlen(name);
  field.side = side;
  field.kind = OMOMI_KIND_ID;
  return field;
}

/// A field of texts.
static inline OmomiField omomi_text_field(const char *name, OmomiSide side) {
  OmomiField field = omomi_id_field(name, side);
  field.kind = OMOMI_KIND_TEXT;
  return field;
}

/// A field of numbers in `unit` from `least` to `greatest`, as in the contract.
static inline OmomiField omomi_number_field(const char *name, OmomiSide side, const char *unit, double range_min,
                                            double range_max) {
  OmomiField field = omomi_id_field(name, side);
  field.kind = OMOMI_KIND_NUMBER;
  field.unit = unit;
  field.unit_len_bytes = unit == NULL ? 0 : strlen(unit);
  field.range_min = range_min;
  field.range_max = range_max;
  return field;
}

/// The same field with zero or more values a row.
static inline OmomiField omomi_many(OmomiField field) {
  field.many = 1;
  return field;
}

/// A request block of yours, and its offsets.
typedef struct {
  unsigned char *block;
  OmomiOffsets offsets;
} OmomiRequest;

/// A row of a request that is being filled, and where it begins in the block. Where the request has no such row, `offset_bytes`
/// and `slot_count` are 0. It fits into two registers: a larger one would go by way of memory into every function of yours that
/// takes a row.
typedef struct {
  OmomiRequest *request;
  uint32_t offset_bytes;
  uint16_t side;
  uint16_t slot_count;
} OmomiRow;

/// A text of a list.
typedef struct {
  const char *text;
  size_t len_bytes;
} OmomiText;

/// What happened in the last predict, by model `model`, which must be below the layout's number of models: generation and
/// counts.
static inline OmomiOutcome omomi_request_outcome_of(const OmomiRequest *request, size_t model) {
  OmomiOutcome outcome;
  const size_t result = request->offsets.results_offset + model * request->offsets.result_stride_bytes;
  memcpy(&outcome, request->block + result, sizeof outcome);
  return outcome;
}

/// What happened in the last predict, by the first model.
static inline OmomiOutcome omomi_request_outcome(const OmomiRequest *request) {
  return omomi_request_outcome_of(request, 0);
}

/// The answer of model `model` for candidate `index` of the last predict. Both must be below the numbers of models and of
/// candidates that it had.
static inline OmomiAnswer omomi_request_answer_of(const OmomiRequest *request, size_t model, size_t index) {
  OmomiAnswer answer;
  const size_t result = request->offsets.results_offset + model * request->offsets.result_stride_bytes;
  memcpy(&answer, request->block + result + sizeof(OmomiOutcome) + index * sizeof answer, sizeof answer);
  return answer;
}

/// The answer of the first model for candidate `index` of the last predict, which must be below the number of candidates that
/// it had.
static inline OmomiAnswer omomi_request_answer(const OmomiRequest *request, size_t index) {
  return omomi_request_answer_of(request, 0, index);
}

/// Bytes of the tail that are in use.
static inline uint32_t omomi_request_tail_used_bytes(const OmomiRequest *request) {
  uint32_t used;
  memcpy(&used, request->block + offsetof(OmomiHeader, tail_used_bytes), sizeof used);
  return used;
}

/// Empties the context row and the tail. Each candidate row is emptied by omomi_candidate_row.
static inline void omomi_request_clear(OmomiRequest *request) {
  memset(request->block + offsetof(OmomiHeader, tail_used_bytes), 0, sizeof(uint32_t));
  memset(request->block + request->offsets.context_offset, 0, sizeof(OmomiRowHead));
}

/// Makes an empty request of `block`, which the caller has aligned to 8 bytes, better 64, and which stays the caller's.
/// OMOMI_STATUS_MISALIGNED, or OMOMI_STATUS_WRONG_SIZE if `block_len_bytes` is not `offsets->len_bytes`.
static inline OmomiStatus omomi_request_init(OmomiRequest *request, const OmomiOffsets *offsets, void *block,
                                             size_t block_len_bytes) {
  const uint32_t version = OMOMI_LAYOUT_VERSION;
  if (request == NULL || offsets == NULL || block == NULL)
    return OMOMI_STATUS_NULL_ARGUMENT;
  if ((uintptr_t)block % 8 != 0)
    return OMOMI_STATUS_MISALIGNED;
  if (offsets->size_bytes != sizeof *offsets || block_len_bytes != offsets->len_bytes)
    return OMOMI_STATUS_WRONG_SIZE;
  request->block = (unsigned char *)block;
  request->offsets = *offsets;
  memset(block, 0, block_len_bytes);
  memcpy(request->block + offsetof(OmomiHeader, layout_version), &version, sizeof version);
  return OMOMI_STATUS_OK;
}

/// For the rows: how many slots a row of `row_len` bytes has.
static inline uint16_t omomi_slot_count(size_t row_len) {
  return (uint16_t)((row_len - sizeof(OmomiRowHead)) / 8);
}

/// The context row, as it is.
static inline OmomiRow omomi_context_row(OmomiRequest *request) {
  OmomiRow row;
  row.request = request;
  row.offset_bytes = (uint32_t)request->offsets.context_offset;
  row.side = OMOMI_SIDE_CONTEXT;
  row.slot_count = omomi_slot_count(request->offsets.candidates_offset - request->offsets.context_offset);
  return row;
}

/// The row of candidate `index`, emptied. Setters of a row that the layout does not have return
/// OMOMI_STATUS_TOO_MANY_CANDIDATES, or OMOMI_STATUS_INVALID_ARGUMENT where candidates are prepared and have no rows.
static inline OmomiRow omomi_candidate_row(OmomiRequest *request, size_t index) {
  OmomiRow row;
  row.request = request;
  row.offset_bytes = 0;
  row.side = OMOMI_SIDE_CANDIDATE;
  row.slot_count = 0;
  if (request->offsets.candidates == OMOMI_CANDIDATES_INLINE && index < request->offsets.candidate_capacity) {
    row.offset_bytes = (uint32_t)(request->offsets.candidates_offset + index * request->offsets.candidate_stride_bytes);
    row.slot_count = omomi_slot_count(request->offsets.candidate_stride_bytes);
    memset(request->block + row.offset_bytes, 0, sizeof(OmomiRowHead));
  }
  return row;
}

/// Names prepared candidate `index_in_set` of the scorer's candidate set as candidate `index`. What the set has there is
/// looked at when the request is scored. OMOMI_STATUS_TOO_MANY_CANDIDATES, or OMOMI_STATUS_INVALID_ARGUMENT where candidates
/// are rows.
static inline OmomiStatus omomi_request_set_candidate(OmomiRequest *request, size_t index, uint32_t index_in_set) {
  const OmomiOffsets *offsets = &request->offsets;
  if (offsets->candidates != OMOMI_CANDIDATES_PREPARED)
    return OMOMI_STATUS_INVALID_ARGUMENT;
  if (index >= offsets->candidate_capacity)
    return OMOMI_STATUS_TOO_MANY_CANDIDATES;
  memcpy(request->block + offsets->candidates_offset + index * sizeof index_in_set, &index_in_set, sizeof index_in_set);
  return OMOMI_STATUS_OK;
}

/// omomi_scorer_predict for a request.
static inline OmomiStatus omomi_request_predict(const OmomiScorer *scorer, OmomiRequest *request,
                                                size_t candidate_count, OmomiError *error) {
  return omomi_scorer_predict(scorer, request->block, request->offsets.len_bytes, candidate_count, error);
}

/// omomi_scorer_predict_within for a request.
static inline OmomiStatus omomi_request_predict_within(const OmomiScorer *scorer, OmomiRequest *request,
                                                       size_t candidate_count, uint64_t budget_us, OmomiError *error) {
  return omomi_scorer_predict_within(scorer, request->block, request->offsets.len_bytes, candidate_count, budget_us,
                                     error);
}

/// omomi_live_scorer_predict for a request.
static inline OmomiStatus omomi_request_predict_live(const OmomiLiveScorer *scorer, OmomiRequest *request,
                                                     size_t candidate_count, OmomiError *error) {
  return omomi_live_scorer_predict(scorer, request->block, request->offsets.len_bytes, candidate_count, error);
}

/// omomi_live_scorer_predict_within for a request.
static inline OmomiStatus omomi_request_predict_live_within(const OmomiLiveScorer *scorer, OmomiRequest *request,
                                                            size_t candidate_count, uint64_t budget_us,
                                                            OmomiError *error) {
  return omomi_live_scorer_predict_within(scorer, request->block, request->offsets.len_bytes, candidate_count, budget_us,
                                          error);
}

/// omomi_candidate_set_add for a candidate of a request.
static inline OmomiStatus omomi_request_add_to_set(const OmomiCandidateSet *set, OmomiRequest *request,
                                                   size_t candidate, uint32_t *out_index, OmomiError *error) {
  return omomi_candidate_set_add(set, request->block, request->offsets.len_bytes, candidate, out_index, error);
}

/// omomi_candidate_set_put for a candidate of a request.
static inline OmomiStatus omomi_request_put_in_set(const OmomiCandidateSet *set, uint32_t index, OmomiRequest *request,
                                                   size_t candidate, OmomiError *error) {
  return omomi_candidate_set_put(set, index, request->block, request->offsets.len_bytes, candidate, error);
}

/// For the setters: why `slot` is none of `row`, of that kind.
static inline OmomiStatus omomi_row_refusal(OmomiRow row, OmomiSlot slot, OmomiKind kind, uint32_t many) {
  if (row.offset_bytes == 0)
    return row.request->offsets.candidates == OMOMI_CANDIDATES_INLINE ? OMOMI_STATUS_TOO_MANY_CANDIDATES
                                                                      : OMOMI_STATUS_INVALID_ARGUMENT;
  if (slot.side != row.side || slot.kind != kind || slot.many != many)
    return OMOMI_STATUS_WRONG_FIELD_USE;
  return OMOMI_STATUS_UNKNOWN_FIELD;
}

/// For the setters: whether `slot` is one of `row`, of that kind. Nothing is read of the request, which the compiler would have to
/// read again for each field, because every store might have changed it.
static inline OmomiStatus omomi_row_check(OmomiRow row, OmomiSlot slot, OmomiKind kind, uint32_t many) {
  if (slot.side == row.side && slot.kind == kind && slot.many == many && slot.index < row.slot_count)
    return OMOMI_STATUS_OK;
  return omomi_row_refusal(row, slot, kind, many);
}

/// For the setters: writes a slot and marks it present. Whether a text stands there by its bytes is noted of texts alone.
static inline void omomi_row_store(OmomiRow row, OmomiSlot slot, uint64_t word, int inline_text) {
  const uint64_t bit = (uint64_t)1 << slot.index;
  unsigned char *const bytes = row.request->block + row.offset_bytes;
  unsigned char *const present_at = bytes + offsetof(OmomiRowHead, present);
  unsigned char *const inline_text_at = bytes + offsetof(OmomiRowHead, inline_text);
  uint64_t present, inline_texts;
  memcpy(&present, present_at, sizeof present);
  present |= bit;
  memcpy(present_at, &present, sizeof present);
  if (slot.kind == OMOMI_KIND_TEXT) {
    memcpy(&inline_texts, inline_text_at, sizeof inline_texts);
    inline_texts = inline_text ? inline_texts | bit : inline_texts & ~bit;
    memcpy(inline_text_at, &inline_texts, sizeof inline_texts);
  }
  memcpy(bytes + sizeof(OmomiRowHead) + 8 * (size_t)slot.index, &word, sizeof word);
}

/// For the setters: where `len_bytes` of the tail start, at a multiple of `alignment`.
static inline OmomiStatus omomi_tail_take(OmomiRequest *request, size_t len_bytes, size_t alignment,
                                          uint32_t *out_start) {
  const size_t used = omomi_request_tail_used_bytes(request);
  const size_t start = (used + alignment - 1) / alignment * alignment;
  uint32_t end;
  if (start > request->offsets.tail_len_bytes || len_bytes > request->offsets.tail_len_bytes - start)
    return OMOMI_STATUS_TAIL_FULL;
  end = (uint32_t)(start + len_bytes);
  memcpy(request->block + offsetof(OmomiHeader, tail_used_bytes), &end, sizeof end);
  *out_start = (uint32_t)start;
  return OMOMI_STATUS_OK;
}

/// For the setters: a place in the tail, or a list, as one word.
static inline uint64_t omomi_reference(uint32_t start, uint32_t count) {
  return (uint64_t)start | (uint64_t)count << 32;
}

/// For the setters: copies the bytes of a text. A compiler seldom knows its length, and a call of memcpy takes longer than the two
/// words that nearly every text is.
static inline void omomi_copy_text(unsigned char *to, const char *from, size_t len_bytes) {
  uint64_t first, last;
  uint32_t first_half, last_half;
  if (len_bytes >= 8 && len_bytes <= 16) {
    memcpy(&first, from, 8);
    memcpy(&last, from + len_bytes - 8, 8);
    memcpy(to, &first, 8);
    memcpy(to + len_bytes - 8, &last, 8);
  } else if (len_bytes >= 4 && len_bytes < 8) {
    memcpy(&first_half, from, 4);
    memcpy(&last_half, from + len_bytes - 4, 4);
    memcpy(to, &first_half, 4);
    memcpy(to + len_bytes - 4, &last_half, 4);
  } else if (len_bytes != 0) {
    memcpy(to, from, len_bytes);
  }
}

/// For the setters: puts a text into the tail.
static inline OmomiStatus omomi_tail_put_text(OmomiRequest *request, const char *text, size_t len_bytes,
                                              uint64_t *out_reference) {
  uint32_t start;
  OmomiStatus status;
  if (text == NULL && len_bytes != 0)
    return OMOMI_STATUS_NULL_ARGUMENT;
  status = omomi_tail_take(request, len_bytes, 1, &start);
  if (status != OMOMI_STATUS_OK)
    return status;
  omomi_copy_text(request->block + request->offsets.tail_offset + start, text, len_bytes);
  *out_reference = omomi_reference(start, (uint32_t)len_bytes);
  return OMOMI_STATUS_OK;
}

/// For the setters: puts a list of `count` words into the tail.
static inline OmomiStatus omomi_row_store_words(OmomiRow row, OmomiSlot slot, const void *words, size_t count) {
  uint32_t start;
  OmomiStatus status;
  if (words == NULL && count != 0)
    return OMOMI_STATUS_NULL_ARGUMENT;
  if (count > OMOMI_MAX_VALUES_PER_FIELD)
    return OMOMI_STATUS_TOO_MANY_VALUES;
  status = omomi_tail_take(row.request, count * 8, 8, &start);
  if (status != OMOMI_STATUS_OK)
    return status;
  if (count != 0)
    memcpy(row.request->block + row.request->offsets.tail_offset + start, words, count * 8);
  omomi_row_store(row, slot, omomi_reference(start, (uint32_t)count), 0);
  return OMOMI_STATUS_OK;
}

/// Sets an id field.
static inline OmomiStatus omomi_set_id(OmomiRow row, OmomiSlot slot, int64_t id) {
  const OmomiStatus status = omomi_row_check(row, slot, OMOMI_KIND_ID, 0);
  if (status == OMOMI_STATUS_OK)
    omomi_row_store(row, slot, (uint64_t)id, 0);
  return status;
}

/// Sets a number field. A number out of the field's range, or NaN, counts as missing when the request is scored.
static inline OmomiStatus omomi_set_number(OmomiRow row, OmomiSlot slot, double number) {
  const OmomiStatus status = omomi_row_check(row, slot, OMOMI_KIND_NUMBER, 0);
  uint64_t word;
  memcpy(&word, &number, sizeof word);
  if (status == OMOMI_STATUS_OK)
    omomi_row_store(row, slot, word, 0);
  return status;
}

/// Sets a text field by its text: UTF-8, which is looked at when the request is scored.
static inline OmomiStatus omomi_set_text(OmomiRow row, OmomiSlot slot, const char *text, size_t len_bytes) {
  uint64_t reference = 0;
  OmomiStatus status = omomi_row_check(row, slot, OMOMI_KIND_TEXT, 0);
  if (status == OMOMI_STATUS_OK)
    status = omomi_tail_put_text(row.request, text, len_bytes, &reference);
  if (status == OMOMI_STATUS_OK)
    omomi_row_store(row, slot, reference, 1);
  return status;
}

/// Sets a text field by the value of its text, from omomi_text_value.
static inline OmomiStatus omomi_set_text_value(OmomiRow row, OmomiSlot slot, uint64_t value) {
  const OmomiStatus status = omomi_row_check(row, slot, OMOMI_KIND_TEXT, 0);
  if (status == OMOMI_STATUS_OK)
    omomi_row_store(row, slot, value, 0);
  return status;
}

/// Sets a `many` field of ids. No ids at all is known to be empty, and not missing.
static inline OmomiStatus omomi_set_ids(OmomiRow row, OmomiSlot slot, const int64_t *ids, size_t count) {
  const OmomiStatus status = omomi_row_check(row, slot, OMOMI_KIND_ID, 1);
  return status == OMOMI_STATUS_OK ? omomi_row_store_words(row, slot, ids, count) : status;
}

/// Sets a `many` field of texts by the values of its texts.
static inline OmomiStatus omomi_set_text_values(OmomiRow row, OmomiSlot slot, const uint64_t *values, size_t count) {
  const OmomiStatus status = omomi_row_check(row, slot, OMOMI_KIND_TEXT, 1);
  return status == OMOMI_STATUS_OK ? omomi_row_store_words(row, slot, values, count) : status;
}

/// Sets a `many` field of texts by its texts.
static inline OmomiStatus omomi_set_texts(OmomiRow row, OmomiSlot slot, const OmomiText *texts, size_t count) {
  const uint32_t used_before = omomi_request_tail_used_bytes(row.request);
  uint32_t start = 0;
  size_t index;
  OmomiStatus status = omomi_row_check(row, slot, OMOMI_KIND_TEXT, 1);
  if (status == OMOMI_STATUS_OK && texts == NULL && count != 0)
    status = OMOMI_STATUS_NULL_ARGUMENT;
  if (status == OMOMI_STATUS_OK && count > OMOMI_MAX_VALUES_PER_FIELD)
    status = OMOMI_STATUS_TOO_MANY_VALUES;
  if (status == OMOMI_STATUS_OK)
    status = omomi_tail_take(row.request, count * 8, 8, &start);
  for (index = 0; status == OMOMI_STATUS_OK && index < count; index++) {
    uint64_t reference = 0;
    unsigned char *word = row.request->block + row.request->offsets.tail_offset + start + 8 * index;
    status = omomi_tail_put_text(row.request, texts[index].text, texts[index].len_bytes, &reference);
    memcpy(word, &reference, sizeof reference);
  }
  if (status == OMOMI_STATUS_OK)
    omomi_row_store(row, slot, omomi_reference(start, (uint32_t)count), 1);
  else
    memcpy(row.request->block + offsetof(OmomiHeader, tail_used_bytes), &used_before, sizeof used_before);
  return status;
}

#ifdef __cplusplus
}
#endif

#endif

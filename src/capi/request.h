/*
 * INITIALIZERS
 *
 * Each sets size_bytes and the defaults: `OmomiError error = OMOMI_ERROR_INIT;`.
 */

#ifdef __cplusplus
#define OMOMI_INTERNAL_NULL nullptr
#else
#define OMOMI_INTERNAL_NULL NULL
#endif

#define OMOMI_ERROR_INIT { sizeof(OmomiError), OMOMI_STATUS_OK, OMOMI_OWNER_NONE, { 0 } }
#define OMOMI_OPEN_OPTIONS_INIT { sizeof(OmomiOpenOptions), OMOMI_LOAD_MODE_MAP }
#define OMOMI_MODEL_INFO_INIT { sizeof(OmomiModelInfo), 0, 0, 0, 0, 0.0 }
#define OMOMI_LAYOUT_OPTIONS_INIT { sizeof(OmomiLayoutOptions), 0, 0, 1, OMOMI_CANDIDATES_INLINE }
#define OMOMI_LAYOUT_INFO_INIT { sizeof(OmomiLayoutInfo), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, OMOMI_CANDIDATES_INLINE, 0, 0 }
#define OMOMI_EXPLANATION_INIT { sizeof(OmomiExplanation), 0, 0.0, 0.0, 0.0f }
#define OMOMI_LIVE_OPTIONS_INIT                                                                                        \
  { sizeof(OmomiLiveOptions), OMOMI_TEXT_INIT("server"), OMOMI_LOAD_MODE_AUTO, 1, 1000, 30000, 600000, UINT64_MAX,     \
    UINT64_MAX, 0, OMOMI_INTERNAL_NULL, 0, OMOMI_INTERNAL_NULL, 0, 0, OMOMI_SIGNATURE_OFF, 0, 0, 0,                    \
    OMOMI_TEXT_INIT("") }
#define OMOMI_LIVE_METRICS_INIT                                                                                        \
  { sizeof(OmomiLiveMetrics), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, { 0 }, 0, 0, 0, 0, 0, 0,                             \
    OMOMI_SERVING_STATE_NO_MODEL, OMOMI_CONTROL_FOLLOW, 0, 0, 0, 0, 0, 0, 0, 0, OMOMI_LOAD_MODE_MAP, 0, 0, 0, 0, 0, 0, \
    0, 0, 0, 0, 0 }
#define OMOMI_LIVE_CHANGE_INIT                                                                                         \
  { sizeof(OmomiLiveChange), OMOMI_LIVE_CHANGE_NONE, OMOMI_SERVING_STATE_SERVING, 0, OMOMI_STATUS_OK,                  \
    OMOMI_OWNER_NONE, { 0 } }
#define OMOMI_SERVING_LOG_OPTIONS_INIT                                                                                 \
  { sizeof(OmomiServingLogOptions), OMOMI_TEXT_INIT("server"), 1000000, 1000, 0, 1048576, 67108864, 60000,             \
    UINT64_C(10737418240), 100, 100, 0 }
#define OMOMI_SERVING_LOG_METRICS_INIT                                                                                 \
  { sizeof(OmomiServingLogMetrics), 0, 0, { 0 }, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
#define OMOMI_MONEY_INIT { 0, OMOMI_BASIS_NONE, { 0 } }
#define OMOMI_ANSWERED_INIT                                                                                            \
  { sizeof(OmomiAnswered), 0, 0, 0, 0.0, 0, OMOMI_NOT_GIVEN, 0, 0, 0, OMOMI_EXPLORATION_NONE, 0, 0 }
#define OMOMI_CHOICE_INIT { sizeof(OmomiChoice), 0, 0, 0, 0.0 }
#define OMOMI_SERVED_INIT                                                                                              \
  { sizeof(OmomiServed), OMOMI_TEXT_INIT(""), OMOMI_TEXT_INIT(""), OMOMI_TEXT_INIT(""), OMOMI_TEXT_INIT(""), 0,        \
    OMOMI_MONEY_INIT, 0, 0.0, OMOMI_NOT_GIVEN, OMOMI_NOT_GIVEN, OMOMI_SOURCE_MODEL, 0.0f, 0, 0 }
#define OMOMI_LIVE_STATUS_INIT                                                                                         \
  { sizeof(OmomiLiveStatus), OMOMI_SERVING_STATE_NO_MODEL, OMOMI_CONTROL_FOLLOW, 0, 0, 0, 0, 0, 0, 0, 0,               \
    OMOMI_LOAD_MODE_MAP, 0, 0, 0, 0, 0, 0, 0, 0 }

/*
 * INLINE FUNCTIONS
 *
 * They declare fields, and fill and read requests, and they allocate nothing. If a field is set twice, the last value
 * is kept. A setter that fails changes no row, and the request remembers the first failure since it was cleared:
 * predict then returns that status, and its message names the field and the candidate. So setters need no check of
 * their own.
 *
 * The shared library exports each of them under its own name too, for callers that load it at run time and compile no
 * C: ctypes, cffi in ABI mode, JNA.
 */

#if defined(__BYTE_ORDER__) && defined(__ORDER_BIG_ENDIAN__)
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "omomi.h fills request blocks on little-endian machines only"
#endif
#endif

/* C++ code may be compiled with warnings about what is C. */
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wzero-as-null-pointer-constant"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// In place of a number of candidates: up to the last one that was filled since the request was cleared.
#define OMOMI_ALL_FILLED SIZE_MAX

/* Texts */

/// Makes an OmomiText of a string literal. A null byte inside belongs to the text.
#define omomi_text(literal) omomi_text_of("" literal "", sizeof(literal) - 1)

/// Initializes an OmomiText with a string literal where C requires a constant: a static variable, or a member of one.
#define OMOMI_TEXT_INIT(literal) { "" literal "", sizeof(literal) - 1 }

/// Makes an OmomiText of `len_bytes` bytes.
static inline OmomiText omomi_text_of(const char *text, size_t len_bytes);

/// Makes an OmomiText of a text that ends with a null byte, and an empty one of null.
static inline OmomiText omomi_c_text(const char *text);

/* Fields: their texts must live until the schema is open */

/// Declares a field of 64-bit integers.
static inline OmomiField omomi_id_field(OmomiText name, OmomiSide side);

/// Declares a field of texts.
static inline OmomiField omomi_text_field(OmomiText name, OmomiSide side);

/// Declares a field of numbers in `unit`, from `range_min` to `range_max`, as in the contract.
static inline OmomiField omomi_number_field(OmomiText name, OmomiSide side, OmomiText unit, double range_min,
                                            double range_max);

/// Returns the field with zero or more values per row.
static inline OmomiField omomi_many(OmomiField field);

/* Requests and rows */

/// Initializes an empty request in a block of your own, aligned to 8 bytes, better 64, which you free. Returns
/// OMOMI_STATUS_MISALIGNED, or OMOMI_STATUS_WRONG_SIZE if `block_len_bytes` is not `layout->len_bytes`. Needed only for
/// memory of your own: omomi_request_open allocates the block.
OMOMI_MUST_USE
static inline OmomiStatus omomi_request_init(OmomiRequest *request, const OmomiLayoutInfo *layout, void *block,
                                             size_t block_len_bytes);

/// Clears the request: no field is set, no candidate is filled, the tail is empty, and there are no answers and no
/// refusal. Call it before each request. Ignores null.
static inline void omomi_request_clear(OmomiRequest *request);

/// Returns the context row with its current values. The setters of a row of null return OMOMI_STATUS_NULL_ARGUMENT.
static inline OmomiRow omomi_context_row(OmomiRequest *request);

/// Returns the row of candidate `index`, with the values that it was given since the request was cleared. The candidate
/// counts as filled from now on, even if no field is set; those below it that were never filled get
/// OMOMI_CANDIDATE_NOT_FILLED. If the layout has no such row, its setters and predict return
/// OMOMI_STATUS_TOO_MANY_CANDIDATES, or OMOMI_STATUS_INVALID_ARGUMENT if candidates are prepared and so have no rows.
/// The setters of a row of null return OMOMI_STATUS_NULL_ARGUMENT.
static inline OmomiRow omomi_candidate_row(OmomiRequest *request, size_t index);

/// Clears a row: all its fields are missing again. A candidate still counts as filled. Ignores a row of null, and one
/// that the layout does not have.
static inline void omomi_row_clear(OmomiRow row);

/// Sets an id field.
static inline OmomiStatus omomi_set_id(OmomiRow row, OmomiSlot slot, int64_t id);

/// Sets a number field. A number out of the field's range, or NaN, counts as missing when the request is scored.
static inline OmomiStatus omomi_set_number(OmomiRow row, OmomiSlot slot, double number);

/// Sets a text field by its text. The text is UTF-8, which is checked when the request is scored.
static inline OmomiStatus omomi_set_text(OmomiRow row, OmomiSlot slot, OmomiText text);

/// Sets a text field by the value of its text: see omomi_text_value.
static inline OmomiStatus omomi_set_text_value(OmomiRow row, OmomiSlot slot, uint64_t value);

/// Sets a `many` field of ids. An empty list is a known value; it does not count as missing.
static inline OmomiStatus omomi_set_ids(OmomiRow row, OmomiSlot slot, const int64_t *ids, size_t count);

/// Sets a `many` field of texts by its texts.
static inline OmomiStatus omomi_set_texts(OmomiRow row, OmomiSlot slot, const OmomiText *texts, size_t count);

/// Sets a `many` field of texts by the values of its texts: see omomi_text_value.
static inline OmomiStatus omomi_set_text_values(OmomiRow row, OmomiSlot slot, const uint64_t *values, size_t count);

/// Makes prepared candidate `index_in_set` of the scorer's candidate set the candidate `index` of the request. The set
/// is read when the request is scored. Candidates below it that were never named since the request was cleared get
/// OMOMI_CANDIDATE_NOT_FILLED. Returns OMOMI_STATUS_TOO_MANY_CANDIDATES, or OMOMI_STATUS_INVALID_ARGUMENT if candidates
/// are rows.
static inline OmomiStatus omomi_request_set_candidate(OmomiRequest *request, size_t index, uint32_t index_in_set);

/// Makes `count` prepared candidates the candidates 0, 1, 2 and so on of the request: does the same as
/// omomi_request_set_candidate for each, in a fraction of the time. Returns OMOMI_STATUS_TOO_MANY_CANDIDATES,
/// OMOMI_STATUS_INVALID_ARGUMENT if candidates are rows, or OMOMI_STATUS_NULL_ARGUMENT; then no candidate has changed.
static inline OmomiStatus omomi_request_set_candidates(OmomiRequest *request, const uint32_t *indices_in_set,
                                                       size_t count);

/// Returns the number of candidates up to the last one that was filled since the request was cleared, or 0 for null.
static inline size_t omomi_request_filled_count(const OmomiRequest *request);

/// Returns the number of bytes of the tail that are in use, or 0 for null.
static inline uint32_t omomi_request_tail_used_bytes(const OmomiRequest *request);

/// Returns the first status other than OMOMI_STATUS_OK that a setter returned since the request was cleared. Predict
/// returns it too.
static inline OmomiStatus omomi_request_refusal(const OmomiRequest *request);

/// Makes the request forget that a setter failed: for callers that look at the status and score without the value.
/// Ignores null.
static inline void omomi_request_forget_refusal(OmomiRequest *request);

/* Predictions */

/// Calls omomi_scorer_predict for a request. Pass OMOMI_ALL_FILLED to score the candidates that were filled.
OMOMI_MUST_USE
static inline OmomiStatus omomi_request_predict(const OmomiScorer *scorer, OmomiRequest *request,
                                                size_t candidate_count, OmomiError *error);

/// Calls omomi_scorer_predict_within for a request.
OMOMI_MUST_USE
static inline OmomiStatus omomi_request_predict_within(const OmomiScorer *scorer, OmomiRequest *request,
                                                       size_t candidate_count, uint64_t budget_us, OmomiError *error);

/// Calls omomi_live_scorer_predict for a request.
OMOMI_MUST_USE
static inline OmomiStatus omomi_request_predict_live(const OmomiLiveScorer *scorer, OmomiRequest *request,
                                                     size_t candidate_count, OmomiError *error);

/// Calls omomi_live_scorer_predict_within for a request.
OMOMI_MUST_USE
static inline OmomiStatus omomi_request_predict_live_within(const OmomiLiveScorer *scorer, OmomiRequest *request,
                                                            size_t candidate_count, uint64_t budget_us,
                                                            OmomiError *error);

/// Calls omomi_live_scorer_predict_fallback for a request.
OMOMI_MUST_USE
static inline OmomiStatus omomi_request_predict_live_fallback(const OmomiLiveScorer *scorer, OmomiRequest *request,
                                                              size_t candidate_count, OmomiError *error);

/* Answers */

/// Returns the number of candidates that have an answer of the last predict: 0 after one that failed, and for null.
static inline size_t omomi_request_answered_count(const OmomiRequest *request);

/// Returns the answer of the first model for candidate `index` in the last predict, like omomi_request_answer_of.
static inline OmomiAnswer omomi_request_answer(const OmomiRequest *request, size_t index);

/// Returns the answer of model `model` for candidate `index` in the last predict. The status is
/// OMOMI_CANDIDATE_NOT_COMPUTED for null, for a model or candidate that the last predict gave no answer for, and after
/// one that failed; then logit and probability are NaN.
static inline OmomiAnswer omomi_request_answer_of(const OmomiRequest *request, size_t model, size_t index);

/// Returns the outcome of the first model in the last predict.
static inline OmomiOutcome omomi_request_outcome(const OmomiRequest *request);

/// Returns the outcome of model `model` in the last predict: generation and counts. All members are 0 for null, for a
/// model that the layout does not have, and after a predict that failed.
static inline OmomiOutcome omomi_request_outcome_of(const OmomiRequest *request, size_t model);

/* Candidate sets */

/// Calls omomi_candidate_set_add for a candidate of a request.
OMOMI_MUST_USE
static inline OmomiStatus omomi_request_add_to_set(OmomiCandidateSet *set, const OmomiRequest *request,
                                                   size_t candidate, uint32_t *out_index, OmomiError *error);

/// Calls omomi_candidate_set_put for a candidate of a request.
OMOMI_MUST_USE
static inline OmomiStatus omomi_request_put_in_set(OmomiCandidateSet *set, uint32_t index, const OmomiRequest *request,
                                                   size_t candidate, OmomiError *error);


/*
 * REQUESTS
 *
 * Static inline functions that fill and read a request block, so that callers compute no offsets. They allocate
 * nothing. If a field is set twice, the last value is kept. A setter that fails changes no row, and the request
 * remembers the first failure since it was cleared: predict then returns that status, and its message names the field
 * and the candidate. So setters need no check of their own.
 */

#if defined(__BYTE_ORDER__) && defined(__ORDER_BIG_ENDIAN__)
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "omomi.h fills request blocks on little-endian machines only"
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// In place of a number of candidates: up to the last one that was filled since the request was cleared.
#define OMOMI_ALL_FILLED ((size_t)-1)

/// Initializers that set size_bytes: `OmomiError error = OMOMI_ERROR_INIT;`.
#define OMOMI_ERROR_INIT { sizeof(OmomiError), OMOMI_STATUS_OK, OMOMI_OWNER_NONE, { 0 } }
#define OMOMI_OPEN_OPTIONS_INIT { sizeof(OmomiOpenOptions), OMOMI_LOAD_MODE_MAP }
#define OMOMI_MODEL_INFO_INIT { sizeof(OmomiModelInfo), 0, 0, 0, 0, 0.0 }
#define OMOMI_LAYOUT_OPTIONS_INIT { sizeof(OmomiLayoutOptions), 0, 0, 1, OMOMI_CANDIDATES_INLINE }
#define OMOMI_OFFSETS_INIT { sizeof(OmomiOffsets), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, OMOMI_CANDIDATES_INLINE, 0, 0 }
#define OMOMI_EXPLANATION_INIT { sizeof(OmomiExplanation), 0, 0.0, 0.0, 0.0f }
#define OMOMI_LIVE_OPTIONS_INIT                                                                                        \
  { sizeof(OmomiLiveOptions), "server", 6, OMOMI_LOAD_MODE_AUTO, 1, 1000, 30000, 600000, UINT64_MAX, UINT64_MAX, 0,    \
    NULL, 0, NULL, 0, 0, OMOMI_SIGNATURE_OFF, 0, 0, 0 }
#define OMOMI_LIVE_METRICS_INIT                                                                                        \
  { sizeof(OmomiLiveMetrics), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, { 0 }, 0, 0, 0, 0, 0, 0,                             \
    OMOMI_SERVING_STATE_NO_MODEL, OMOMI_CONTROL_FOLLOW, 0, 0, 0, 0, 0, 0, 0, 0, OMOMI_LOAD_MODE_MAP, 0, 0, 0, 0, 0, 0, \
    0, 0, 0, 0 }
#define OMOMI_LIVE_STATUS_INIT                                                                                         \
  { sizeof(OmomiLiveStatus), OMOMI_SERVING_STATE_NO_MODEL, OMOMI_CONTROL_FOLLOW, 0, 0, 0, 0, 0, 0, 0, 0,               \
    OMOMI_LOAD_MODE_MAP, 0, 0, 0, 0, 0, 0, 0, 0 }

/// Declares a field of 64-bit integers. `name` ends with a null byte and must live until the schema is open.
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

/// Declares a field of texts. `name` ends with a null byte and must live until the schema is open.
static inline OmomiField omomi_text_field(const char *name, OmomiSide side) {
  OmomiField field = omomi_id_field(name, side);
  field.kind = OMOMI_KIND_TEXT;
  return field;
}

/// Declares a field of numbers in `unit`, from `range_min` to `range_max`, as in the contract. `name` and `unit` end
/// with a null byte and must live until the schema is open.
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

/// Returns the field with zero or more values per row.
static inline OmomiField omomi_many(OmomiField field) {
  field.many = 1;
  return field;
}

/// A request: the caller's block, and its offsets.
typedef struct {
  unsigned char *block;
  OmomiOffsets offsets;
} OmomiRequest;

/// A row of a request that is being filled, its offset in the block, and its type, which is that of its slots. If the
/// request has no such row, both numbers are 0. The struct fits into two registers; a larger one would be passed through
/// memory to every function that takes a row.
typedef struct {
  OmomiRequest *request;
  uint32_t offset_bytes;
  uint32_t row_type;
} OmomiRow;

/// A text of a list, in UTF-8.
typedef struct {
  const char *text;
  size_t len_bytes;
} OmomiText;

/// Internal: whether the request has a block.
static inline int omomi_request_has_block(const OmomiRequest *request) {
  return request != NULL && request->block != NULL;
}

/// Internal: reads a member of the header.
static inline uint32_t omomi_header_get(const OmomiRequest *request, size_t offset_bytes) {
  uint32_t value;
  memcpy(&value, request->block + offset_bytes, sizeof value);
  return value;
}

/// Internal: writes a member of the header.
static inline void omomi_header_set(OmomiRequest *request, size_t offset_bytes, uint32_t value) {
  memcpy(request->block + offset_bytes, &value, sizeof value);
}

/// Returns the number of candidates that have an answer of the last predict: 0 after one that failed, and for null.
static inline size_t omomi_request_answered_count(const OmomiRequest *request) {
  return omomi_request_has_block(request) ? omomi_header_get(request, offsetof(OmomiHeader, answered_count)) : 0;
}

/// Returns the number of candidates up to the last one that was filled since the request was cleared, or 0 for null.
static inline size_t omomi_request_filled_count(const OmomiRequest *request) {
  return omomi_request_has_block(request) ? omomi_header_get(request, offsetof(OmomiHeader, filled_count)) : 0;
}

/// Returns the first status other than OMOMI_STATUS_OK that a setter returned since the request was cleared. Predict
/// returns it too.
static inline OmomiStatus omomi_request_refusal(const OmomiRequest *request) {
  if (!omomi_request_has_block(request))
    return OMOMI_STATUS_NULL_ARGUMENT;
  return (OmomiStatus)omomi_header_get(request, offsetof(OmomiHeader, refusal));
}

/// Makes the request forget that a setter failed: for callers that look at the status and score without the value.
/// Ignores null.
static inline void omomi_request_forget_refusal(OmomiRequest *request) {
  if (omomi_request_has_block(request))
    omomi_header_set(request, offsetof(OmomiHeader, refusal), 0);
}

/// Returns the outcome of model `model` in the last predict: generation and counts. All members are 0 for null, for a
/// model that the layout does not have, and after a predict that failed.
static inline OmomiOutcome omomi_request_outcome_of(const OmomiRequest *request, size_t model) {
  OmomiOutcome outcome;
  size_t result;
  memset(&outcome, 0, sizeof outcome);
  if (!omomi_request_has_block(request) || model >= request->offsets.model_count ||
      !omomi_header_get(request, offsetof(OmomiHeader, is_answered)))
    return outcome;
  result = request->offsets.results_offset + model * request->offsets.result_stride_bytes;
  memcpy(&outcome, request->block + result, sizeof outcome);
  return outcome;
}

/// Returns the outcome of the first model in the last predict.
static inline OmomiOutcome omomi_request_outcome(const OmomiRequest *request) {
  return omomi_request_outcome_of(request, 0);
}

/// Returns the answer of model `model` for candidate `index` in the last predict. The status is
/// OMOMI_CANDIDATE_NOT_COMPUTED for null, for a model or candidate that the last predict gave no answer for, and after
/// one that failed; then logit and probability are NaN.
static inline OmomiAnswer omomi_request_answer_of(const OmomiRequest *request, size_t model, size_t index) {
  OmomiAnswer answer;
  size_t result;
  if (index >= omomi_request_answered_count(request) || model >= request->offsets.model_count) {
    /* All bits set is NaN. */
    memset(&answer, 0xff, sizeof answer);
    answer.status = OMOMI_CANDIDATE_NOT_COMPUTED;
    return answer;
  }
  result = request->offsets.results_offset + model * request->offsets.result_stride_bytes;
  memcpy(&answer, request->block + result + sizeof(OmomiOutcome) + index * sizeof answer, sizeof answer);
  return answer;
}

/// Returns the answer of the first model for candidate `index` in the last predict, like omomi_request_answer_of.
static inline OmomiAnswer omomi_request_answer(const OmomiRequest *request, size_t index) {
  return omomi_request_answer_of(request, 0, index);
}

/// Returns the number of bytes of the tail that are in use, or 0 for null.
static inline uint32_t omomi_request_tail_used_bytes(const OmomiRequest *request) {
  return omomi_request_has_block(request) ? omomi_header_get(request, offsetof(OmomiHeader, tail_used_bytes)) : 0;
}

/// Clears the request: no field is set, no candidate is filled, the tail is empty, and there are no answers and no
/// refusal. Call it before each request. Ignores null.
static inline void omomi_request_clear(OmomiRequest *request) {
  const size_t first = offsetof(OmomiHeader, tail_used_bytes);
  if (!omomi_request_has_block(request))
    return;
  memset(request->block + first, 0, offsetof(OmomiHeader, reserved) - first);
  memset(request->block + request->offsets.context_offset, 0, sizeof(OmomiRowHead));
}

/// Initializes an empty request in `block`, which the caller owns and has aligned to 8 bytes, better 64. Returns
/// OMOMI_STATUS_MISALIGNED, or OMOMI_STATUS_WRONG_SIZE if `block_len_bytes` is not `offsets->len_bytes`.
OMOMI_MUST_USE static inline OmomiStatus omomi_request_init(OmomiRequest *request, const OmomiOffsets *offsets, void *block,
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

/// Internal: remembers a refusal, unless there is an earlier one. `row` is a candidate or UINT32_MAX for the context.
OMOMI_COLD void omomi_request_remember(OmomiRequest *request, OmomiStatus status, uint32_t row, uint32_t field,
                                       uint32_t row_type) {
  if (!omomi_request_has_block(request) || omomi_request_refusal(request) != OMOMI_STATUS_OK)
    return;
  omomi_header_set(request, offsetof(OmomiHeader, refusal), (uint32_t)status);
  omomi_header_set(request, offsetof(OmomiHeader, refused_row), row);
  omomi_header_set(request, offsetof(OmomiHeader, refused_field), field);
  omomi_header_set(request, offsetof(OmomiHeader, refused_row_type), row_type);
}

/// Internal: why the request has no candidate `index` that is used as `used_as`. Remembers it.
OMOMI_COLD OmomiStatus omomi_request_no_candidate(OmomiRequest *request, size_t index, OmomiCandidates used_as) {
  OmomiStatus status = OMOMI_STATUS_TOO_MANY_CANDIDATES;
  if (!omomi_request_has_block(request))
    return OMOMI_STATUS_NULL_ARGUMENT;
  if (request->offsets.candidates != used_as)
    status = OMOMI_STATUS_INVALID_ARGUMENT;
  omomi_request_remember(request, status, index < UINT32_MAX ? (uint32_t)index : UINT32_MAX - 1, UINT32_MAX, 0);
  return status;
}

/// Returns the context row with its current values. The setters of a row of null return OMOMI_STATUS_NULL_ARGUMENT.
static inline OmomiRow omomi_context_row(OmomiRequest *request) {
  OmomiRow row;
  memset(&row, 0, sizeof row);
  if (!omomi_request_has_block(request))
    return row;
  row.request = request;
  row.offset_bytes = (uint32_t)request->offsets.context_offset;
  row.row_type = request->offsets.context_row_type;
  return row;
}

/// Clears a row: all its fields are missing again. A candidate still counts as filled. Ignores a row of null, and one
/// that the layout does not have.
static inline void omomi_row_clear(OmomiRow row) {
  if (omomi_request_has_block(row.request) && row.offset_bytes != 0)
    memset(row.request->block + row.offset_bytes, 0, sizeof(OmomiRowHead));
}

/// Internal: begins the row of a candidate that does not follow the last one that was filled.
OMOMI_COLD void omomi_request_fill_out_of_order(OmomiRequest *request, size_t index, size_t filled) {
  const size_t gap_count_at = offsetof(OmomiHeader, gap_count), stride = request->offsets.candidate_stride_bytes;
  const uint64_t gap[2] = {0, UINT64_MAX};
  unsigned char *const rows = request->block + request->offsets.candidates_offset;
  const uint32_t gap_count = omomi_header_get(request, gap_count_at);
  size_t skipped;
  if (index < filled) {
    if (gap_count != 0 && memcmp(rows + index * stride, gap, sizeof gap) == 0) {
      memset(rows + index * stride, 0, sizeof(OmomiRowHead));
      omomi_header_set(request, gap_count_at, gap_count - 1);
    }
    return;
  }
  for (skipped = filled; skipped < index; skipped++)
    memcpy(rows + skipped * stride, gap, sizeof gap);
  memset(rows + index * stride, 0, sizeof(OmomiRowHead));
  omomi_header_set(request, gap_count_at, gap_count + (uint32_t)(index - filled));
  omomi_header_set(request, offsetof(OmomiHeader, filled_count), (uint32_t)index + 1);
}

/// Returns the row of candidate `index`, with the values that it was given since the request was cleared. The candidate
/// counts as filled from now on, even if no field is set; those below it that were never filled get
/// OMOMI_CANDIDATE_NOT_FILLED. If the layout has no such row, its setters and predict return
/// OMOMI_STATUS_TOO_MANY_CANDIDATES, or OMOMI_STATUS_INVALID_ARGUMENT if candidates are prepared and so have no rows.
/// The setters of a row of null return OMOMI_STATUS_NULL_ARGUMENT.
static inline OmomiRow omomi_candidate_row(OmomiRequest *request, size_t index) {
  OmomiRow row;
  unsigned char *block;
  uint32_t filled;
  row.request = request;
  row.offset_bytes = 0;
  row.row_type = 0;
  if (!omomi_request_has_block(request) || request->offsets.candidates != OMOMI_CANDIDATES_INLINE ||
      index >= request->offsets.candidate_capacity) {
    (void)omomi_request_no_candidate(request, index, OMOMI_CANDIDATES_INLINE);
    return row;
  }
  row.offset_bytes = (uint32_t)(request->offsets.candidates_offset + index * request->offsets.candidate_stride_bytes);
  row.row_type = request->offsets.candidate_row_type;
  /* The compiler would have to read the address again after each store. */
  block = request->block;
  memcpy(&filled, block + offsetof(OmomiHeader, filled_count), sizeof filled);
  if (OMOMI_LIKELY(index == filled)) {
    filled++;
    memcpy(block + offsetof(OmomiHeader, filled_count), &filled, sizeof filled);
    memset(block + row.offset_bytes, 0, sizeof(OmomiRowHead));
  } else {
    omomi_request_fill_out_of_order(request, index, filled);
  }
  return row;
}

/// Internal: begins prepared candidate `index`, which does not follow the last one. Those from `filled` on were not
/// named.
OMOMI_COLD void omomi_request_skip_names(OmomiRequest *request, size_t filled, size_t index) {
  /* With all bits set, the index means that no candidate was named. */
  memset(request->block + request->offsets.candidates_offset + filled * sizeof(uint32_t), 0xff,
         (index - filled) * sizeof(uint32_t));
  omomi_header_set(request, offsetof(OmomiHeader, filled_count), (uint32_t)index + 1);
}

/// Makes prepared candidate `index_in_set` of the scorer's candidate set the candidate `index` of the request. The set
/// is read when the request is scored. Candidates below it that were never named since the request was cleared get
/// OMOMI_CANDIDATE_NOT_FILLED. Returns OMOMI_STATUS_TOO_MANY_CANDIDATES, or OMOMI_STATUS_INVALID_ARGUMENT if candidates
/// are rows.
static inline OmomiStatus omomi_request_set_candidate(OmomiRequest *request, size_t index, uint32_t index_in_set) {
  unsigned char *block;
  uint32_t filled;
  if (!omomi_request_has_block(request) || request->offsets.candidates != OMOMI_CANDIDATES_PREPARED ||
      index >= request->offsets.candidate_capacity)
    return omomi_request_no_candidate(request, index, OMOMI_CANDIDATES_PREPARED);
  block = request->block;
  memcpy(&filled, block + offsetof(OmomiHeader, filled_count), sizeof filled);
  /* No set has an index that large, so this changes no answer. */
  index_in_set -= index_in_set == UINT32_MAX;
  memcpy(block + request->offsets.candidates_offset + index * sizeof index_in_set, &index_in_set, sizeof index_in_set);
  if (OMOMI_LIKELY(index == filled)) {
    filled++;
    memcpy(block + offsetof(OmomiHeader, filled_count), &filled, sizeof filled);
  } else if (index > filled) {
    omomi_request_skip_names(request, filled, index);
  }
  return OMOMI_STATUS_OK;
}

/// Internal: the block of a request, or null.
static inline unsigned char *omomi_request_block(OmomiRequest *request) {
  return request == NULL ? NULL : request->block;
}

/// Internal: the length of a request's block, or 0 for null.
static inline size_t omomi_request_block_len(const OmomiRequest *request) {
  return request == NULL ? 0 : request->offsets.len_bytes;
}

/// Calls omomi_scorer_predict for a request. Pass OMOMI_ALL_FILLED to score the candidates that were filled.
OMOMI_MUST_USE static inline OmomiStatus omomi_request_predict(const OmomiScorer *scorer, OmomiRequest *request,
                                                size_t candidate_count, OmomiError *error) {
  return omomi_scorer_predict(scorer, omomi_request_block(request), omomi_request_block_len(request), candidate_count,
                              error);
}

/// Calls omomi_scorer_predict_within for a request.
OMOMI_MUST_USE static inline OmomiStatus omomi_request_predict_within(const OmomiScorer *scorer, OmomiRequest *request,
                                                       size_t candidate_count, uint64_t budget_us, OmomiError *error) {
  return omomi_scorer_predict_within(scorer, omomi_request_block(request), omomi_request_block_len(request),
                                     candidate_count, budget_us, error);
}

/// Calls omomi_live_scorer_predict for a request.
OMOMI_MUST_USE static inline OmomiStatus omomi_request_predict_live(const OmomiLiveScorer *scorer, OmomiRequest *request,
                                                     size_t candidate_count, OmomiError *error) {
  return omomi_live_scorer_predict(scorer, omomi_request_block(request), omomi_request_block_len(request),
                                   candidate_count, error);
}

/// Calls omomi_live_scorer_predict_within for a request.
OMOMI_MUST_USE static inline OmomiStatus omomi_request_predict_live_within(const OmomiLiveScorer *scorer, OmomiRequest *request,
                                                            size_t candidate_count, uint64_t budget_us,
                                                            OmomiError *error) {
  return omomi_live_scorer_predict_within(scorer, omomi_request_block(request), omomi_request_block_len(request),
                                          candidate_count, budget_us, error);
}

/// Calls omomi_candidate_set_add for a candidate of a request.
OMOMI_MUST_USE static inline OmomiStatus omomi_request_add_to_set(const OmomiCandidateSet *set, OmomiRequest *request,
                                                   size_t candidate, uint32_t *out_index, OmomiError *error) {
  return omomi_candidate_set_add(set, omomi_request_block(request), omomi_request_block_len(request), candidate,
                                 out_index, error);
}

/// Calls omomi_candidate_set_put for a candidate of a request.
OMOMI_MUST_USE static inline OmomiStatus omomi_request_put_in_set(const OmomiCandidateSet *set, uint32_t index, OmomiRequest *request,
                                                   size_t candidate, OmomiError *error) {
  return omomi_candidate_set_put(set, index, omomi_request_block(request), omomi_request_block_len(request), candidate,
                                 error);
}

/// Internal: notes that a slot of the row at `offset_bytes` was refused. Returns the status. Takes numbers: a compiler
/// that had to pass a slot to a function would copy it to memory for each field, although this is rarely called.
OMOMI_COLD OmomiStatus omomi_row_refuse(OmomiRequest *request, uint32_t offset_bytes, uint32_t slot_row_type,
                                        uint32_t slot_index, OmomiStatus status) {
  uint32_t candidate = UINT32_MAX;
  if (omomi_request_has_block(request) && offset_bytes >= request->offsets.candidates_offset)
    candidate =
        (uint32_t)((offset_bytes - request->offsets.candidates_offset) / request->offsets.candidate_stride_bytes);
  omomi_request_remember(request, status, candidate, slot_index, slot_row_type);
  return status;
}

/// Internal: the number of fields in a row of that type.
static inline uint32_t omomi_row_field_count(uint32_t row_type) {
  return row_type & 0x7f;
}

/// Internal: returns why a row does not take the value of a slot, which may be of another kind.
OMOMI_COLD OmomiStatus omomi_row_refusal_of(OmomiRequest *request, uint32_t offset_bytes, uint32_t row_type,
                                            uint32_t slot_row_type, uint32_t slot_index, int is_of_kind) {
  if (!omomi_request_has_block(request))
    return OMOMI_STATUS_NULL_ARGUMENT;
  if (offset_bytes == 0)
    return request->offsets.candidates == OMOMI_CANDIDATES_INLINE ? OMOMI_STATUS_TOO_MANY_CANDIDATES
                                                                  : OMOMI_STATUS_INVALID_ARGUMENT;
  if (slot_row_type != row_type || !is_of_kind)
    return omomi_row_refuse(request, offset_bytes, slot_row_type, slot_index, OMOMI_STATUS_WRONG_FIELD_USE);
  return omomi_row_refuse(request, offset_bytes, slot_row_type, slot_index, OMOMI_STATUS_UNKNOWN_FIELD);
}

/// Internal: returns why `slot` is not a slot of `row` of that kind.
static inline OmomiStatus omomi_row_refusal(OmomiRow row, OmomiSlot slot, OmomiKind kind, uint32_t many) {
  return omomi_row_refusal_of(row.request, row.offset_bytes, row.row_type, slot.row_type, slot.index,
                              slot.kind == kind && slot.many == many);
}

/// Internal: whether `slot` is a slot of `row` of that kind. Does not read the request: the compiler would have to reload
/// it for each field, because every store might have changed it.
static inline int omomi_row_takes(OmomiRow row, OmomiSlot slot, OmomiKind kind, uint32_t many) {
  return slot.row_type == row.row_type && slot.kind == kind && slot.many == many &&
         slot.index < omomi_row_field_count(row.row_type);
}

/// Internal: reads a word of the block.
static inline uint64_t omomi_word_at(const unsigned char *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

/// Internal: writes a slot and marks it present. For texts, also notes whether the slot refers to bytes in the tail.
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

/// Internal: reserves `len_bytes` of the tail, starting at a multiple of `alignment`.
static inline OmomiStatus omomi_tail_take(OmomiRequest *request, size_t len_bytes, size_t alignment,
                                          uint32_t *out_start) {
  const size_t used = omomi_request_tail_used_bytes(request);
  const size_t start = (used + alignment - 1) / alignment * alignment;
  if (start > request->offsets.tail_len_bytes || len_bytes > request->offsets.tail_len_bytes - start)
    return OMOMI_STATUS_TAIL_FULL;
  omomi_header_set(request, offsetof(OmomiHeader, tail_used_bytes), (uint32_t)(start + len_bytes));
  *out_start = (uint32_t)start;
  return OMOMI_STATUS_OK;
}

/// Internal: the part of a reference that is the length or the number of values, as one word.
static inline uint64_t omomi_reference_len(uint64_t reference) {
  return reference >> 32 & 0x7ffffff;
}

/// Internal: the room class of a reference: n for a value that has room for 2^n bytes, and 0 for what it takes.
static inline unsigned omomi_reference_class(uint64_t reference) {
  return (unsigned)(reference >> 59);
}

/// Internal: the end of the room of a text or of a list in the tail, or 0 if the reference was written by hand and is
/// wrong.
static inline size_t omomi_tail_end(const OmomiRequest *request, uint64_t reference, size_t element_len_bytes) {
  const unsigned room_class = omomi_reference_class(reference);
  const size_t len = room_class == 0 ? (size_t)omomi_reference_len(reference) * element_len_bytes : (size_t)1 << room_class;
  const size_t end = (size_t)(uint32_t)reference + len;
  return end <= omomi_request_tail_used_bytes(request) ? end : 0;
}

/// Internal: reserves `len_bytes` of the tail for a value that replaces the one in bytes `start` to `end`, whose room
/// class is `*room_class`: in its place if there is room, and else with room to spare, so that setting a field again and
/// again does not fill the tail.
OMOMI_COLD OmomiStatus omomi_tail_take_again(OmomiRequest *request, size_t start, size_t end, size_t len_bytes,
                                             size_t alignment, uint32_t *out_start, unsigned *room_class) {
  const size_t used_at = offsetof(OmomiHeader, tail_used_bytes);
  const uint32_t used = omomi_request_tail_used_bytes(request);
  OmomiStatus status;
  unsigned wanted = 0;
  if (end == used && *room_class == 0) {
    omomi_header_set(request, used_at, (uint32_t)start);
    status = omomi_tail_take(request, len_bytes, alignment, out_start);
    if (status != OMOMI_STATUS_OK)
      omomi_header_set(request, used_at, used);
    return status;
  }
  if (len_bytes <= end - start) {
    if (*room_class == 0 && len_bytes != end - start) {
      while ((size_t)2 << *room_class <= end - start)
        ++*room_class;
      if (len_bytes > (size_t)1 << *room_class)
        *room_class = 0;
    }
    *out_start = (uint32_t)start;
    return OMOMI_STATUS_OK;
  }
  *room_class = 0;
  if (len_bytes > request->offsets.tail_len_bytes)
    return OMOMI_STATUS_TAIL_FULL;
  while ((size_t)1 << wanted < len_bytes)
    wanted++;
  if (omomi_tail_take(request, (size_t)1 << wanted, alignment, out_start) == OMOMI_STATUS_OK) {
    *room_class = wanted;
    return OMOMI_STATUS_OK;
  }
  return omomi_tail_take(request, len_bytes, alignment, out_start);
}

/// Internal: reserves `len_bytes` of the tail for a field that is set again.
OMOMI_COLD OmomiStatus omomi_row_take_again(OmomiRow row, OmomiSlot slot, size_t len_bytes, size_t alignment,
                                            uint32_t *out_start, unsigned *room_class) {
  const unsigned char *const bytes = row.request->block + row.offset_bytes;
  const uint64_t inline_text = omomi_word_at(bytes + offsetof(OmomiRowHead, inline_text)) >> slot.index & 1;
  const uint64_t reference = omomi_word_at(bytes + sizeof(OmomiRowHead) + 8 * (size_t)slot.index);
  const size_t start = (uint32_t)reference;
  size_t end = omomi_tail_end(row.request, reference, alignment), index;
  *room_class = omomi_reference_class(reference);
  if (end != 0 && *room_class == 0 && slot.many && inline_text) {
    const unsigned char *const list = row.request->block + row.request->offsets.tail_offset + start;
    for (index = 0; end != 0 && index < omomi_reference_len(reference); index++) {
      const size_t text_end = omomi_tail_end(row.request, omomi_word_at(list + 8 * index), 1);
      end = text_end == 0 ? 0 : text_end > end ? text_end : end;
    }
  }
  if (end < start || start % alignment != 0) {
    *room_class = 0;
    return omomi_tail_take(row.request, len_bytes, alignment, out_start);
  }
  return omomi_tail_take_again(row.request, start, end, len_bytes, alignment, out_start, room_class);
}

/// Internal: reserves `len_bytes` of the tail for a field: for a text, or for a list with its texts.
static inline OmomiStatus omomi_row_take(OmomiRow row, OmomiSlot slot, size_t len_bytes, size_t alignment,
                                         uint32_t *out_start, unsigned *room_class) {
  const unsigned char *const bytes = row.request->block + row.offset_bytes;
  uint64_t in_tail = omomi_word_at(bytes + offsetof(OmomiRowHead, present));
  if (!slot.many)
    in_tail &= omomi_word_at(bytes + offsetof(OmomiRowHead, inline_text));
  if (in_tail >> slot.index & 1)
    return omomi_row_take_again(row, slot, len_bytes, alignment, out_start, room_class);
  return omomi_tail_take(row.request, len_bytes, alignment, out_start);
}

/// Internal: a reference to bytes or to a list in the tail, as one word.
static inline uint64_t omomi_reference(uint32_t start, uint32_t count, unsigned room_class) {
  return (uint64_t)start | (uint64_t)count << 32 | (uint64_t)room_class << 59;
}

/// Internal: copies the bytes of a text. The length is rarely known at compile time, and a call of memcpy takes longer
/// than the two words that nearly every text fits into.
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

/// Internal: sets a field to a list of `count` words.
static inline OmomiStatus omomi_row_store_words(OmomiRow row, OmomiSlot slot, const void *words, size_t count) {
  uint32_t start = 0;
  unsigned room_class = 0;
  OmomiStatus status = OMOMI_STATUS_OK;
  if (words == NULL && count != 0)
    status = OMOMI_STATUS_NULL_ARGUMENT;
  else if (count > OMOMI_MAX_VALUES_PER_FIELD)
    status = OMOMI_STATUS_TOO_MANY_VALUES;
  else
    status = omomi_row_take(row, slot, count * 8, 8, &start, &room_class);
  if (status != OMOMI_STATUS_OK)
    return omomi_row_refuse(row.request, row.offset_bytes, slot.row_type, slot.index, status);
  if (count != 0)
    memcpy(row.request->block + row.request->offsets.tail_offset + start, words, count * 8);
  omomi_row_store(row, slot, omomi_reference(start, (uint32_t)count, room_class), 0);
  return OMOMI_STATUS_OK;
}

/// Sets an id field.
static inline OmomiStatus omomi_set_id(OmomiRow row, OmomiSlot slot, int64_t id) {
  if (!omomi_row_takes(row, slot, OMOMI_KIND_ID, 0))
    return omomi_row_refusal(row, slot, OMOMI_KIND_ID, 0);
  omomi_row_store(row, slot, (uint64_t)id, 0);
  return OMOMI_STATUS_OK;
}

/// Sets a number field. A number out of the field's range, or NaN, counts as missing when the request is scored.
static inline OmomiStatus omomi_set_number(OmomiRow row, OmomiSlot slot, double number) {
  uint64_t word;
  if (!omomi_row_takes(row, slot, OMOMI_KIND_NUMBER, 0))
    return omomi_row_refusal(row, slot, OMOMI_KIND_NUMBER, 0);
  memcpy(&word, &number, sizeof word);
  omomi_row_store(row, slot, word, 0);
  return OMOMI_STATUS_OK;
}

/// Internal: sets a text in place of an earlier one, or where there may be no text or no room.
OMOMI_COLD OmomiStatus omomi_row_store_text_again(OmomiRequest *request, uint32_t offset_bytes, uint32_t row_type,
                                                  uint32_t slot_index, const char *text, size_t len_bytes) {
  uint32_t start = 0;
  unsigned room_class = 0;
  OmomiStatus status;
  OmomiRow row;
  OmomiSlot slot;
  row.request = request;
  row.offset_bytes = offset_bytes;
  row.row_type = row_type;
  slot.row_type = row_type;
  slot.index = slot_index;
  slot.kind = OMOMI_KIND_TEXT;
  slot.many = 0;
  if (text == NULL && len_bytes != 0)
    status = OMOMI_STATUS_NULL_ARGUMENT;
  else
    status = omomi_row_take(row, slot, len_bytes, 1, &start, &room_class);
  if (status != OMOMI_STATUS_OK)
    return omomi_row_refuse(row.request, row.offset_bytes, slot.row_type, slot.index, status);
  omomi_copy_text(row.request->block + row.request->offsets.tail_offset + start, text, len_bytes);
  omomi_row_store(row, slot, omomi_reference(start, (uint32_t)len_bytes, room_class), 1);
  return OMOMI_STATUS_OK;
}

/// Sets a text field by its text. The text is UTF-8, which is checked when the request is scored.
static inline OmomiStatus omomi_set_text(OmomiRow row, OmomiSlot slot, const char *text, size_t len_bytes) {
  uint64_t present, inline_text, reference, bit;
  unsigned char *block, *head;
  size_t tail_offset, tail_len;
  uint32_t start, end;
  if (!omomi_row_takes(row, slot, OMOMI_KIND_TEXT, 0))
    return omomi_row_refusal(row, slot, OMOMI_KIND_TEXT, 0);
  /* Reads all of the request before the first store, after which the compiler would have to read it again. */
  block = row.request->block;
  tail_offset = row.request->offsets.tail_offset;
  tail_len = row.request->offsets.tail_len_bytes;
  head = block + row.offset_bytes;
  memcpy(&start, block + offsetof(OmomiHeader, tail_used_bytes), sizeof start);
  present = omomi_word_at(head + offsetof(OmomiRowHead, present));
  inline_text = omomi_word_at(head + offsetof(OmomiRowHead, inline_text));
  bit = (uint64_t)1 << slot.index;
  if ((inline_text & bit) != 0 || text == NULL || start > tail_len || len_bytes > tail_len - start)
    return omomi_row_store_text_again(row.request, row.offset_bytes, row.row_type, slot.index, text, len_bytes);
  end = start + (uint32_t)len_bytes;
  reference = omomi_reference(start, (uint32_t)len_bytes, 0);
  present |= bit;
  inline_text |= bit;
  memcpy(block + offsetof(OmomiHeader, tail_used_bytes), &end, sizeof end);
  memcpy(head + offsetof(OmomiRowHead, present), &present, sizeof present);
  memcpy(head + offsetof(OmomiRowHead, inline_text), &inline_text, sizeof inline_text);
  memcpy(head + sizeof(OmomiRowHead) + 8 * (size_t)slot.index, &reference, sizeof reference);
  omomi_copy_text(block + tail_offset + start, text, len_bytes);
  return OMOMI_STATUS_OK;
}

/// Sets a text field by the value of its text: see omomi_text_value.
static inline OmomiStatus omomi_set_text_value(OmomiRow row, OmomiSlot slot, uint64_t value) {
  if (!omomi_row_takes(row, slot, OMOMI_KIND_TEXT, 0))
    return omomi_row_refusal(row, slot, OMOMI_KIND_TEXT, 0);
  omomi_row_store(row, slot, value, 0);
  return OMOMI_STATUS_OK;
}

/// Sets a `many` field of ids. An empty list is a known value; it does not count as missing.
static inline OmomiStatus omomi_set_ids(OmomiRow row, OmomiSlot slot, const int64_t *ids, size_t count) {
  if (!omomi_row_takes(row, slot, OMOMI_KIND_ID, 1))
    return omomi_row_refusal(row, slot, OMOMI_KIND_ID, 1);
  return omomi_row_store_words(row, slot, ids, count);
}

/// Sets a `many` field of texts by the values of its texts: see omomi_text_value.
static inline OmomiStatus omomi_set_text_values(OmomiRow row, OmomiSlot slot, const uint64_t *values, size_t count) {
  if (!omomi_row_takes(row, slot, OMOMI_KIND_TEXT, 1))
    return omomi_row_refusal(row, slot, OMOMI_KIND_TEXT, 1);
  return omomi_row_store_words(row, slot, values, count);
}

/// Sets a `many` field of texts by its texts.
static inline OmomiStatus omomi_set_texts(OmomiRow row, OmomiSlot slot, const OmomiText *texts, size_t count) {
  size_t len_bytes = count * 8, index;
  uint32_t start = 0, end;
  unsigned room_class = 0;
  unsigned char *tail;
  OmomiStatus status = OMOMI_STATUS_OK;
  if (!omomi_row_takes(row, slot, OMOMI_KIND_TEXT, 1))
    return omomi_row_refusal(row, slot, OMOMI_KIND_TEXT, 1);
  if (texts == NULL && count != 0)
    status = OMOMI_STATUS_NULL_ARGUMENT;
  else if (count > OMOMI_MAX_VALUES_PER_FIELD)
    status = OMOMI_STATUS_TOO_MANY_VALUES;
  for (index = 0; status == OMOMI_STATUS_OK && index < count; index++) {
    if (texts[index].text == NULL && texts[index].len_bytes != 0)
      status = OMOMI_STATUS_NULL_ARGUMENT;
    else if (texts[index].len_bytes > row.request->offsets.tail_len_bytes)
      status = OMOMI_STATUS_TAIL_FULL;
    else
      len_bytes += texts[index].len_bytes;
  }
  if (status == OMOMI_STATUS_OK)
    status = omomi_row_take(row, slot, len_bytes, 8, &start, &room_class);
  if (status != OMOMI_STATUS_OK)
    return omomi_row_refuse(row.request, row.offset_bytes, slot.row_type, slot.index, status);
  tail = row.request->block + row.request->offsets.tail_offset;
  end = start + (uint32_t)count * 8;
  for (index = 0; index < count; index++) {
    const uint64_t reference = omomi_reference(end, (uint32_t)texts[index].len_bytes, 0);
    omomi_copy_text(tail + end, texts[index].text, texts[index].len_bytes);
    memcpy(tail + start + 8 * index, &reference, sizeof reference);
    end += (uint32_t)texts[index].len_bytes;
  }
  omomi_row_store(row, slot, omomi_reference(start, (uint32_t)count, room_class), 1);
  return OMOMI_STATUS_OK;
}

#ifdef __cplusplus
}
#endif

#endif


/*
 * REQUESTS
 *
 * Static inline functions that fill and read a request block, so that callers compute no offsets. They allocate
 * nothing. A setter that fails writes nothing. If a field is set twice, the last value is kept.
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

/// A row of a request that is being filled, and its offset in the block. If the request has no such row, `offset_bytes`
/// and `slot_count` are 0. The struct fits into two registers; a larger one would be passed through memory to every
/// function that takes a row.
typedef struct {
  OmomiRequest *request;
  uint32_t offset_bytes;
  uint16_t side;
  uint16_t slot_count;
} OmomiRow;

/// A text of a list, in UTF-8.
typedef struct {
  const char *text;
  size_t len_bytes;
} OmomiText;

/// Returns the outcome of model `model` in the last predict: generation and counts. `model` must be below the layout's
/// number of models. For null, all members are 0.
static inline OmomiOutcome omomi_request_outcome_of(const OmomiRequest *request, size_t model) {
  OmomiOutcome outcome;
  size_t result;
  memset(&outcome, 0, sizeof outcome);
  if (request == NULL)
    return outcome;
  result = request->offsets.results_offset + model * request->offsets.result_stride_bytes;
  memcpy(&outcome, request->block + result, sizeof outcome);
  return outcome;
}

/// Returns the outcome of the first model in the last predict.
static inline OmomiOutcome omomi_request_outcome(const OmomiRequest *request) {
  return omomi_request_outcome_of(request, 0);
}

/// Returns the answer of model `model` for candidate `index` in the last predict. Both must be below the numbers of
/// models and candidates of that predict. For null, the status is OMOMI_CANDIDATE_NO_CANDIDATE.
static inline OmomiAnswer omomi_request_answer_of(const OmomiRequest *request, size_t model, size_t index) {
  OmomiAnswer answer;
  size_t result;
  if (request == NULL) {
    /* All bits set is NaN. */
    memset(&answer, 0xff, sizeof answer);
    answer.status = OMOMI_CANDIDATE_NO_CANDIDATE;
    return answer;
  }
  result = request->offsets.results_offset + model * request->offsets.result_stride_bytes;
  memcpy(&answer, request->block + result + sizeof(OmomiOutcome) + index * sizeof answer, sizeof answer);
  return answer;
}

/// Returns the answer of the first model for candidate `index` in the last predict. `index` must be below the number of
/// candidates of that predict.
static inline OmomiAnswer omomi_request_answer(const OmomiRequest *request, size_t index) {
  return omomi_request_answer_of(request, 0, index);
}

/// Returns the number of bytes of the tail that are in use, or 0 for null.
static inline uint32_t omomi_request_tail_used_bytes(const OmomiRequest *request) {
  uint32_t used = 0;
  if (request == NULL)
    return used;
  memcpy(&used, request->block + offsetof(OmomiHeader, tail_used_bytes), sizeof used);
  return used;
}

/// Clears the context row and the tail. omomi_candidate_row clears each candidate row. Ignores null.
static inline void omomi_request_clear(OmomiRequest *request) {
  if (request == NULL)
    return;
  memset(request->block + offsetof(OmomiHeader, tail_used_bytes), 0, sizeof(uint32_t));
  memset(request->block + request->offsets.context_offset, 0, sizeof(OmomiRowHead));
}

/// Initializes an empty request in `block`, which the caller owns and has aligned to 8 bytes, better 64. Returns
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

/// Internal: the number of slots in a row of `row_len` bytes.
static inline uint16_t omomi_slot_count(size_t row_len) {
  return (uint16_t)((row_len - sizeof(OmomiRowHead)) / 8);
}

/// Returns the context row, without clearing it. The setters of a row of null return OMOMI_STATUS_NULL_ARGUMENT.
static inline OmomiRow omomi_context_row(OmomiRequest *request) {
  OmomiRow row;
  memset(&row, 0, sizeof row);
  if (request == NULL)
    return row;
  row.request = request;
  row.offset_bytes = (uint32_t)request->offsets.context_offset;
  row.side = OMOMI_SIDE_CONTEXT;
  row.slot_count = omomi_slot_count(request->offsets.candidates_offset - request->offsets.context_offset);
  return row;
}

/// Returns the row of candidate `index`, cleared. If the layout has no such row, its setters return
/// OMOMI_STATUS_TOO_MANY_CANDIDATES, or OMOMI_STATUS_INVALID_ARGUMENT if candidates are prepared and so have no rows.
/// The setters of a row of null return OMOMI_STATUS_NULL_ARGUMENT.
static inline OmomiRow omomi_candidate_row(OmomiRequest *request, size_t index) {
  OmomiRow row;
  row.request = request;
  row.offset_bytes = 0;
  row.side = OMOMI_SIDE_CANDIDATE;
  row.slot_count = 0;
  if (request != NULL && request->offsets.candidates == OMOMI_CANDIDATES_INLINE &&
      index < request->offsets.candidate_capacity) {
    row.offset_bytes = (uint32_t)(request->offsets.candidates_offset + index * request->offsets.candidate_stride_bytes);
    row.slot_count = omomi_slot_count(request->offsets.candidate_stride_bytes);
    memset(request->block + row.offset_bytes, 0, sizeof(OmomiRowHead));
  }
  return row;
}

/// Makes prepared candidate `index_in_set` of the scorer's candidate set the candidate `index` of the request. The set
/// is read when the request is scored. Returns OMOMI_STATUS_TOO_MANY_CANDIDATES, or OMOMI_STATUS_INVALID_ARGUMENT if
/// candidates are rows.
static inline OmomiStatus omomi_request_set_candidate(OmomiRequest *request, size_t index, uint32_t index_in_set) {
  const OmomiOffsets *offsets;
  if (request == NULL)
    return OMOMI_STATUS_NULL_ARGUMENT;
  offsets = &request->offsets;
  if (offsets->candidates != OMOMI_CANDIDATES_PREPARED)
    return OMOMI_STATUS_INVALID_ARGUMENT;
  if (index >= offsets->candidate_capacity)
    return OMOMI_STATUS_TOO_MANY_CANDIDATES;
  memcpy(request->block + offsets->candidates_offset + index * sizeof index_in_set, &index_in_set, sizeof index_in_set);
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

/// Calls omomi_scorer_predict for a request.
static inline OmomiStatus omomi_request_predict(const OmomiScorer *scorer, OmomiRequest *request,
                                                size_t candidate_count, OmomiError *error) {
  return omomi_scorer_predict(scorer, omomi_request_block(request), omomi_request_block_len(request), candidate_count,
                              error);
}

/// Calls omomi_scorer_predict_within for a request.
static inline OmomiStatus omomi_request_predict_within(const OmomiScorer *scorer, OmomiRequest *request,
                                                       size_t candidate_count, uint64_t budget_us, OmomiError *error) {
  return omomi_scorer_predict_within(scorer, omomi_request_block(request), omomi_request_block_len(request),
                                     candidate_count, budget_us, error);
}

/// Calls omomi_live_scorer_predict for a request.
static inline OmomiStatus omomi_request_predict_live(const OmomiLiveScorer *scorer, OmomiRequest *request,
                                                     size_t candidate_count, OmomiError *error) {
  return omomi_live_scorer_predict(scorer, omomi_request_block(request), omomi_request_block_len(request),
                                   candidate_count, error);
}

/// Calls omomi_live_scorer_predict_within for a request.
static inline OmomiStatus omomi_request_predict_live_within(const OmomiLiveScorer *scorer, OmomiRequest *request,
                                                            size_t candidate_count, uint64_t budget_us,
                                                            OmomiError *error) {
  return omomi_live_scorer_predict_within(scorer, omomi_request_block(request), omomi_request_block_len(request),
                                          candidate_count, budget_us, error);
}

/// Calls omomi_candidate_set_add for a candidate of a request.
static inline OmomiStatus omomi_request_add_to_set(const OmomiCandidateSet *set, OmomiRequest *request,
                                                   size_t candidate, uint32_t *out_index, OmomiError *error) {
  return omomi_candidate_set_add(set, omomi_request_block(request), omomi_request_block_len(request), candidate,
                                 out_index, error);
}

/// Calls omomi_candidate_set_put for a candidate of a request.
static inline OmomiStatus omomi_request_put_in_set(const OmomiCandidateSet *set, uint32_t index, OmomiRequest *request,
                                                   size_t candidate, OmomiError *error) {
  return omomi_candidate_set_put(set, index, omomi_request_block(request), omomi_request_block_len(request), candidate,
                                 error);
}

/// Internal: returns why `slot` is not a slot of `row` of that kind.
static inline OmomiStatus omomi_row_refusal(OmomiRow row, OmomiSlot slot, OmomiKind kind, uint32_t many) {
  if (row.request == NULL)
    return OMOMI_STATUS_NULL_ARGUMENT;
  if (row.offset_bytes == 0)
    return row.request->offsets.candidates == OMOMI_CANDIDATES_INLINE ? OMOMI_STATUS_TOO_MANY_CANDIDATES
                                                                      : OMOMI_STATUS_INVALID_ARGUMENT;
  if (slot.side != row.side || slot.kind != kind || slot.many != many)
    return OMOMI_STATUS_WRONG_FIELD_USE;
  return OMOMI_STATUS_UNKNOWN_FIELD;
}

/// Internal: checks that `slot` is a slot of `row` of that kind. Does not read the request: the compiler would have to
/// reload it for each field, because every store might have changed it.
static inline OmomiStatus omomi_row_check(OmomiRow row, OmomiSlot slot, OmomiKind kind, uint32_t many) {
  if (slot.side == row.side && slot.kind == kind && slot.many == many && slot.index < row.slot_count)
    return OMOMI_STATUS_OK;
  return omomi_row_refusal(row, slot, kind, many);
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
  uint32_t end;
  if (start > request->offsets.tail_len_bytes || len_bytes > request->offsets.tail_len_bytes - start)
    return OMOMI_STATUS_TAIL_FULL;
  end = (uint32_t)(start + len_bytes);
  memcpy(request->block + offsetof(OmomiHeader, tail_used_bytes), &end, sizeof end);
  *out_start = (uint32_t)start;
  return OMOMI_STATUS_OK;
}

/// Internal: a reference to bytes or to a list in the tail, as one word.
static inline uint64_t omomi_reference(uint32_t start, uint32_t count) {
  return (uint64_t)start | (uint64_t)count << 32;
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

/// Internal: puts a text into the tail.
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

/// Internal: puts a list of `count` words into the tail.
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

/// Sets a text field by its text. The text is UTF-8, which is checked when the request is scored.
static inline OmomiStatus omomi_set_text(OmomiRow row, OmomiSlot slot, const char *text, size_t len_bytes) {
  uint64_t reference = 0;
  OmomiStatus status = omomi_row_check(row, slot, OMOMI_KIND_TEXT, 0);
  if (status == OMOMI_STATUS_OK)
    status = omomi_tail_put_text(row.request, text, len_bytes, &reference);
  if (status == OMOMI_STATUS_OK)
    omomi_row_store(row, slot, reference, 1);
  return status;
}

/// Sets a text field by the value of its text: see omomi_text_value.
static inline OmomiStatus omomi_set_text_value(OmomiRow row, OmomiSlot slot, uint64_t value) {
  const OmomiStatus status = omomi_row_check(row, slot, OMOMI_KIND_TEXT, 0);
  if (status == OMOMI_STATUS_OK)
    omomi_row_store(row, slot, value, 0);
  return status;
}

/// Sets a `many` field of ids. An empty list is a known value; it does not count as missing.
static inline OmomiStatus omomi_set_ids(OmomiRow row, OmomiSlot slot, const int64_t *ids, size_t count) {
  const OmomiStatus status = omomi_row_check(row, slot, OMOMI_KIND_ID, 1);
  return status == OMOMI_STATUS_OK ? omomi_row_store_words(row, slot, ids, count) : status;
}

/// Sets a `many` field of texts by the values of its texts: see omomi_text_value.
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
  else if (row.request != NULL)
    memcpy(row.request->block + offsetof(OmomiHeader, tail_used_bytes), &used_before, sizeof used_before);
  return status;
}

#ifdef __cplusplus
}
#endif

#endif

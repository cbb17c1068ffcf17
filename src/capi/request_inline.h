/*
 * THE INLINE FUNCTIONS, IMPLEMENTED
 *
 * Nothing below is for callers. What begins with omomi_internal_ or OMOMI_INTERNAL_ may change with every release.
 */

/// Begins a function that is rarely called, so that it stays out of the loops that call it; and marks a condition that
/// is nearly always true.
#if defined(__clang__)
#define OMOMI_INTERNAL_COLD static inline __attribute__((cold, noinline))
#define OMOMI_INTERNAL_LIKELY(condition) __builtin_expect(!!(condition), 1)
#elif defined(__GNUC__)
#define OMOMI_INTERNAL_COLD static __attribute__((cold, noinline, unused))
#define OMOMI_INTERNAL_LIKELY(condition) __builtin_expect(!!(condition), 1)
#else
#define OMOMI_INTERNAL_COLD static inline
#define OMOMI_INTERNAL_LIKELY(condition) (condition)
#endif

static inline OmomiText omomi_text_of(const char *text, size_t len_bytes) {
  OmomiText whole;
  whole.text = text;
  whole.len_bytes = len_bytes;
  return whole;
}

static inline OmomiText omomi_c_text(const char *text) {
  return omomi_text_of(text, text == NULL ? 0 : strlen(text));
}

static inline OmomiField omomi_id_field(OmomiText name, OmomiSide side) {
  OmomiField field;
  memset(&field, 0, sizeof field);
  field.size_bytes = sizeof field;
  field.name = name;
  field.side = side;
  field.kind = OMOMI_KIND_ID;
  return field;
}

static inline OmomiField omomi_text_field(OmomiText name, OmomiSide side) {
  OmomiField field = omomi_id_field(name, side);
  field.kind = OMOMI_KIND_TEXT;
  return field;
}

static inline OmomiField omomi_number_field(OmomiText name, OmomiSide side, OmomiText unit, double range_min,
                                            double range_max) {
  OmomiField field = omomi_id_field(name, side);
  field.kind = OMOMI_KIND_NUMBER;
  field.unit = unit;
  field.range_min = range_min;
  field.range_max = range_max;
  return field;
}

static inline OmomiField omomi_many(OmomiField field) {
  field.many = 1;
  return field;
}

/// Whether the request has a block.
static inline int omomi_internal_request_has_block(const OmomiRequest *request) {
  return request != NULL && request->block != NULL;
}

/// Reads a member of the header.
static inline uint32_t omomi_internal_header_get(const OmomiRequest *request, size_t offset_bytes) {
  uint32_t value;
  memcpy(&value, request->block + offset_bytes, sizeof value);
  return value;
}

/// Writes a member of the header.
static inline void omomi_internal_header_set(OmomiRequest *request, size_t offset_bytes, uint32_t value) {
  memcpy(request->block + offset_bytes, &value, sizeof value);
}

static inline size_t omomi_request_answered_count(const OmomiRequest *request) {
  return omomi_internal_request_has_block(request)
             ? omomi_internal_header_get(request, offsetof(OmomiHeader, answered_count))
             : 0;
}

static inline size_t omomi_request_filled_count(const OmomiRequest *request) {
  return omomi_internal_request_has_block(request)
             ? omomi_internal_header_get(request, offsetof(OmomiHeader, filled_count))
             : 0;
}

static inline OmomiStatus omomi_request_refusal(const OmomiRequest *request) {
  if (!omomi_internal_request_has_block(request))
    return OMOMI_STATUS_NULL_ARGUMENT;
  return (OmomiStatus)omomi_internal_header_get(request, offsetof(OmomiHeader, refusal));
}

static inline void omomi_request_forget_refusal(OmomiRequest *request) {
  if (omomi_internal_request_has_block(request))
    omomi_internal_header_set(request, offsetof(OmomiHeader, refusal), 0);
}

static inline OmomiOutcome omomi_request_outcome_of(const OmomiRequest *request, size_t model) {
  OmomiOutcome outcome;
  size_t result;
  memset(&outcome, 0, sizeof outcome);
  if (!omomi_internal_request_has_block(request) || model >= request->layout.model_count ||
      !omomi_internal_header_get(request, offsetof(OmomiHeader, is_answered)))
    return outcome;
  result = request->layout.results_offset + model * request->layout.result_stride_bytes;
  memcpy(&outcome, request->block + result, sizeof outcome);
  return outcome;
}

static inline OmomiOutcome omomi_request_outcome(const OmomiRequest *request) {
  return omomi_request_outcome_of(request, 0);
}

static inline OmomiAnswer omomi_request_answer_of(const OmomiRequest *request, size_t model, size_t index) {
  OmomiAnswer answer;
  size_t result;
  if (index >= omomi_request_answered_count(request) || model >= request->layout.model_count) {
    /* All bits set is NaN. */
    memset(&answer, 0xff, sizeof answer);
    answer.status = OMOMI_CANDIDATE_NOT_COMPUTED;
    return answer;
  }
  result = request->layout.results_offset + model * request->layout.result_stride_bytes;
  memcpy(&answer, request->block + result + sizeof(OmomiOutcome) + index * sizeof answer, sizeof answer);
  return answer;
}

static inline OmomiAnswer omomi_request_answer(const OmomiRequest *request, size_t index) {
  return omomi_request_answer_of(request, 0, index);
}

static inline uint32_t omomi_request_tail_used_bytes(const OmomiRequest *request) {
  return omomi_internal_request_has_block(request)
             ? omomi_internal_header_get(request, offsetof(OmomiHeader, tail_used_bytes))
             : 0;
}

static inline void omomi_request_clear(OmomiRequest *request) {
  const size_t first = offsetof(OmomiHeader, tail_used_bytes);
  if (!omomi_internal_request_has_block(request))
    return;
  memset(request->block + first, 0, offsetof(OmomiHeader, reserved) - first);
  memset(request->block + request->layout.context_offset, 0, sizeof(OmomiRowHead));
}

static inline OmomiStatus omomi_request_init(OmomiRequest *request, const OmomiLayoutInfo *layout, void *block,
                                             size_t block_len_bytes) {
  const uint32_t version = OMOMI_LAYOUT_VERSION;
  if (request == NULL || layout == NULL || block == NULL)
    return OMOMI_STATUS_NULL_ARGUMENT;
  if ((uintptr_t)block % 8 != 0)
    return OMOMI_STATUS_MISALIGNED;
  if (layout->size_bytes != sizeof *layout || block_len_bytes != layout->len_bytes)
    return OMOMI_STATUS_WRONG_SIZE;
  request->block = (unsigned char *)block;
  request->layout = *layout;
  request->owns_block = 0;
  request->reserved = 0;
  memset(block, 0, block_len_bytes);
  memcpy(request->block + offsetof(OmomiHeader, layout_version), &version, sizeof version);
  return OMOMI_STATUS_OK;
}

/// Remembers a refusal, unless there is an earlier one. `row` is a candidate or UINT32_MAX for the context.
OMOMI_INTERNAL_COLD void omomi_internal_request_remember(OmomiRequest *request, OmomiStatus status, uint32_t row,
                                                         uint32_t field, uint32_t row_type) {
  if (!omomi_internal_request_has_block(request) || omomi_request_refusal(request) != OMOMI_STATUS_OK)
    return;
  omomi_internal_header_set(request, offsetof(OmomiHeader, refusal), (uint32_t)status);
  omomi_internal_header_set(request, offsetof(OmomiHeader, refused_row), row);
  omomi_internal_header_set(request, offsetof(OmomiHeader, refused_field), field);
  omomi_internal_header_set(request, offsetof(OmomiHeader, refused_row_type), row_type);
}

/// Why the request has no candidate `index` that is used as `used_as`. Remembers it.
OMOMI_INTERNAL_COLD OmomiStatus omomi_internal_request_no_candidate(OmomiRequest *request, size_t index,
                                                                    OmomiCandidates used_as) {
  OmomiStatus status = OMOMI_STATUS_TOO_MANY_CANDIDATES;
  if (!omomi_internal_request_has_block(request))
    return OMOMI_STATUS_NULL_ARGUMENT;
  if (request->layout.candidates != used_as)
    status = OMOMI_STATUS_INVALID_ARGUMENT;
  omomi_internal_request_remember(request, status, index < UINT32_MAX ? (uint32_t)index : UINT32_MAX - 1, UINT32_MAX,
                                  0);
  return status;
}

static inline OmomiRow omomi_context_row(OmomiRequest *request) {
  OmomiRow row;
  memset(&row, 0, sizeof row);
  if (!omomi_internal_request_has_block(request))
    return row;
  row.request = request;
  row.offset_bytes = (uint32_t)request->layout.context_offset;
  row.row_type = request->layout.context_row_type;
  return row;
}

static inline void omomi_row_clear(OmomiRow row) {
  if (omomi_internal_request_has_block(row.request) && row.offset_bytes != 0)
    memset(row.request->block + row.offset_bytes, 0, sizeof(OmomiRowHead));
}

/// Begins the row of a candidate that does not follow the last one that was filled.
OMOMI_INTERNAL_COLD void omomi_internal_request_fill_out_of_order(OmomiRequest *request, size_t index, size_t filled) {
  const size_t gap_count_at = offsetof(OmomiHeader, gap_count), stride = request->layout.candidate_stride_bytes;
  const uint64_t gap[2] = {0, UINT64_MAX};
  unsigned char *const rows = request->block + request->layout.candidates_offset;
  const uint32_t gap_count = omomi_internal_header_get(request, gap_count_at);
  size_t skipped;
  if (index < filled) {
    if (gap_count != 0 && memcmp(rows + index * stride, gap, sizeof gap) == 0) {
      memset(rows + index * stride, 0, sizeof(OmomiRowHead));
      omomi_internal_header_set(request, gap_count_at, gap_count - 1);
    }
    return;
  }
  for (skipped = filled; skipped < index; skipped++)
    memcpy(rows + skipped * stride, gap, sizeof gap);
  memset(rows + index * stride, 0, sizeof(OmomiRowHead));
  omomi_internal_header_set(request, gap_count_at, gap_count + (uint32_t)(index - filled));
  omomi_internal_header_set(request, offsetof(OmomiHeader, filled_count), (uint32_t)index + 1);
}

static inline OmomiRow omomi_candidate_row(OmomiRequest *request, size_t index) {
  OmomiRow row;
  unsigned char *block;
  uint32_t filled;
  row.request = request;
  row.offset_bytes = 0;
  row.row_type = 0;
  if (!omomi_internal_request_has_block(request) || request->layout.candidates != OMOMI_CANDIDATES_INLINE ||
      index >= request->layout.candidate_capacity) {
    (void)omomi_internal_request_no_candidate(request, index, OMOMI_CANDIDATES_INLINE);
    return row;
  }
  row.offset_bytes = (uint32_t)(request->layout.candidates_offset + index * request->layout.candidate_stride_bytes);
  row.row_type = request->layout.candidate_row_type;
  /* The compiler would have to read the address again after each store. */
  block = request->block;
  memcpy(&filled, block + offsetof(OmomiHeader, filled_count), sizeof filled);
  if (OMOMI_INTERNAL_LIKELY(index == filled)) {
    /* Not from `filled`: each store would then wait for the load before it. */
    filled = (uint32_t)index + 1;
    memcpy(block + offsetof(OmomiHeader, filled_count), &filled, sizeof filled);
    memset(block + row.offset_bytes, 0, sizeof(OmomiRowHead));
  } else {
    omomi_internal_request_fill_out_of_order(request, index, filled);
  }
  return row;
}

/// Begins prepared candidate `index`, which does not follow the last one. Those from `filled` on were not
/// named.
OMOMI_INTERNAL_COLD void omomi_internal_request_skip_names(OmomiRequest *request, size_t filled, size_t index) {
  /* With all bits set, the index means that no candidate was named. */
  memset(request->block + request->layout.candidates_offset + filled * sizeof(uint32_t), 0xff,
         (index - filled) * sizeof(uint32_t));
  omomi_internal_header_set(request, offsetof(OmomiHeader, filled_count), (uint32_t)index + 1);
}

static inline OmomiStatus omomi_request_set_candidate(OmomiRequest *request, size_t index, uint32_t index_in_set) {
  unsigned char *block;
  uint32_t filled;
  if (!omomi_internal_request_has_block(request) || request->layout.candidates != OMOMI_CANDIDATES_PREPARED ||
      index >= request->layout.candidate_capacity)
    return omomi_internal_request_no_candidate(request, index, OMOMI_CANDIDATES_PREPARED);
  block = request->block;
  memcpy(&filled, block + offsetof(OmomiHeader, filled_count), sizeof filled);
  /* No set has an index that large, so this changes no answer. */
  index_in_set -= index_in_set == UINT32_MAX;
  memcpy(block + request->layout.candidates_offset + index * sizeof index_in_set, &index_in_set, sizeof index_in_set);
  if (OMOMI_INTERNAL_LIKELY(index == filled)) {
    /* Not from `filled`: each store would then wait for the load before it. */
    filled = (uint32_t)index + 1;
    memcpy(block + offsetof(OmomiHeader, filled_count), &filled, sizeof filled);
  } else if (index > filled) {
    omomi_internal_request_skip_names(request, filled, index);
  }
  return OMOMI_STATUS_OK;
}

static inline OmomiStatus omomi_request_set_candidates(OmomiRequest *request, const uint32_t *indices_in_set,
                                                       size_t count) {
  unsigned char *names;
  size_t index;
  if (!omomi_internal_request_has_block(request) || (indices_in_set == NULL && count > 0)) {
    omomi_internal_request_remember(request, OMOMI_STATUS_NULL_ARGUMENT, 0, UINT32_MAX, 0);
    return OMOMI_STATUS_NULL_ARGUMENT;
  }
  if (request->layout.candidates != OMOMI_CANDIDATES_PREPARED || count > request->layout.candidate_capacity)
    return omomi_internal_request_no_candidate(request, count == 0 ? 0 : count - 1, OMOMI_CANDIDATES_PREPARED);
  names = request->block + request->layout.candidates_offset;
  for (index = 0; index < count; index++) {
    /* As above: no set has an index that large. */
    const uint32_t name = indices_in_set[index] - (indices_in_set[index] == UINT32_MAX);
    memcpy(names + index * sizeof name, &name, sizeof name);
  }
  if (count > omomi_request_filled_count(request))
    omomi_internal_header_set(request, offsetof(OmomiHeader, filled_count), (uint32_t)count);
  return OMOMI_STATUS_OK;
}

/// The block of a request, or null.
static inline unsigned char *omomi_internal_request_block(const OmomiRequest *request) {
  return request == NULL ? NULL : request->block;
}

/// The length of a request's block, or 0 for null.
static inline size_t omomi_internal_request_block_len(const OmomiRequest *request) {
  return request == NULL ? 0 : request->layout.len_bytes;
}

static inline OmomiStatus omomi_request_predict(const OmomiScorer *scorer, OmomiRequest *request,
                                                size_t candidate_count, OmomiError *error) {
  return omomi_scorer_predict(scorer, omomi_internal_request_block(request), omomi_internal_request_block_len(request),
                              candidate_count, error);
}

static inline OmomiStatus omomi_request_predict_within(const OmomiScorer *scorer, OmomiRequest *request,
                                                       size_t candidate_count, uint64_t budget_us, OmomiError *error) {
  return omomi_scorer_predict_within(scorer, omomi_internal_request_block(request),
                                     omomi_internal_request_block_len(request), candidate_count, budget_us, error);
}

static inline OmomiStatus omomi_request_predict_live(const OmomiLiveScorer *scorer, OmomiRequest *request,
                                                     size_t candidate_count, OmomiError *error) {
  return omomi_live_scorer_predict(scorer, omomi_internal_request_block(request),
                                   omomi_internal_request_block_len(request), candidate_count, error);
}

static inline OmomiStatus omomi_request_predict_live_within(const OmomiLiveScorer *scorer, OmomiRequest *request,
                                                            size_t candidate_count, uint64_t budget_us,
                                                            OmomiError *error) {
  return omomi_live_scorer_predict_within(scorer, omomi_internal_request_block(request),
                                          omomi_internal_request_block_len(request), candidate_count, budget_us, error);
}

static inline OmomiStatus omomi_request_predict_live_fallback(const OmomiLiveScorer *scorer, OmomiRequest *request,
                                                              size_t candidate_count, OmomiError *error) {
  return omomi_live_scorer_predict_fallback(scorer, omomi_internal_request_block(request),
                                            omomi_internal_request_block_len(request), candidate_count, error);
}

static inline OmomiStatus omomi_request_add_to_set(OmomiCandidateSet *set, const OmomiRequest *request,
                                                   size_t candidate, uint32_t *out_index, OmomiError *error) {
  return omomi_candidate_set_add(set, omomi_internal_request_block(request), omomi_internal_request_block_len(request),
                                 candidate, out_index, error);
}

static inline OmomiStatus omomi_request_put_in_set(OmomiCandidateSet *set, uint32_t index, const OmomiRequest *request,
                                                   size_t candidate, OmomiError *error) {
  return omomi_candidate_set_put(set, index, omomi_internal_request_block(request),
                                 omomi_internal_request_block_len(request), candidate, error);
}

/// Notes that a slot of the row at `offset_bytes` was refused. Returns the status. Takes numbers: a compiler
/// that had to pass a slot to a function would copy it to memory for each field, although this is rarely called.
OMOMI_INTERNAL_COLD OmomiStatus omomi_internal_row_refuse(OmomiRequest *request, uint32_t offset_bytes,
                                                          uint32_t slot_row_type, uint32_t slot_index,
                                                          OmomiStatus status) {
  uint32_t candidate = UINT32_MAX;
  if (omomi_internal_request_has_block(request) && offset_bytes >= request->layout.candidates_offset)
    candidate = (uint32_t)((offset_bytes - request->layout.candidates_offset) / request->layout.candidate_stride_bytes);
  omomi_internal_request_remember(request, status, candidate, slot_index, slot_row_type);
  return status;
}

/// The number of fields in a row of that type.
static inline uint32_t omomi_internal_row_field_count(uint32_t row_type) {
  return row_type & 0x7f;
}

/// Returns why a row does not take the value of a slot, which may be of another kind.
OMOMI_INTERNAL_COLD OmomiStatus omomi_internal_row_refusal_of(OmomiRequest *request, uint32_t offset_bytes,
                                                              uint32_t row_type, uint32_t slot_row_type,
                                                              uint32_t slot_index, int is_of_kind) {
  if (!omomi_internal_request_has_block(request))
    return OMOMI_STATUS_NULL_ARGUMENT;
  if (offset_bytes == 0)
    return request->layout.candidates == OMOMI_CANDIDATES_INLINE ? OMOMI_STATUS_TOO_MANY_CANDIDATES
                                                                 : OMOMI_STATUS_INVALID_ARGUMENT;
  if (slot_row_type != row_type || !is_of_kind)
    return omomi_internal_row_refuse(request, offset_bytes, slot_row_type, slot_index, OMOMI_STATUS_WRONG_FIELD_USE);
  return omomi_internal_row_refuse(request, offset_bytes, slot_row_type, slot_index, OMOMI_STATUS_UNKNOWN_FIELD);
}

/// Returns why `slot` is not a slot of `row` of that kind.
static inline OmomiStatus omomi_internal_row_refusal(OmomiRow row, OmomiSlot slot, OmomiKind kind, uint32_t many) {
  return omomi_internal_row_refusal_of(row.request, row.offset_bytes, row.row_type, slot.row_type, slot.index,
                                       slot.kind == kind && slot.many == many);
}

/// Whether `slot` is a slot of `row` of that kind. Does not read the request: the compiler would have to reload
/// it for each field, because every store might have changed it.
static inline int omomi_internal_row_takes(OmomiRow row, OmomiSlot slot, OmomiKind kind, uint32_t many) {
  return slot.row_type == row.row_type && slot.kind == kind && slot.many == many &&
         slot.index < omomi_internal_row_field_count(row.row_type);
}

/// Reads a word of the block.
static inline uint64_t omomi_internal_word_at(const unsigned char *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

/// Writes a slot and marks it present. For texts, also notes whether the slot refers to bytes in the tail.
static inline void omomi_internal_row_store(OmomiRow row, OmomiSlot slot, uint64_t word, int inline_text) {
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

/// Reserves `len_bytes` of the tail, starting at a multiple of `alignment`.
static inline OmomiStatus omomi_internal_tail_take(OmomiRequest *request, size_t len_bytes, size_t alignment,
                                                   uint32_t *out_start) {
  const size_t used = omomi_request_tail_used_bytes(request);
  const size_t start = (used + alignment - 1) / alignment * alignment;
  if (start > request->layout.tail_len_bytes || len_bytes > request->layout.tail_len_bytes - start)
    return OMOMI_STATUS_TAIL_FULL;
  omomi_internal_header_set(request, offsetof(OmomiHeader, tail_used_bytes), (uint32_t)(start + len_bytes));
  *out_start = (uint32_t)start;
  return OMOMI_STATUS_OK;
}

/// The part of a reference that is the length or the number of values, as one word.
static inline uint64_t omomi_internal_reference_len(uint64_t reference) {
  return reference >> 32 & 0x7ffffff;
}

/// The room class of a reference: n for a value that has room for 2^n bytes, and 0 for what it takes.
static inline unsigned omomi_internal_reference_class(uint64_t reference) {
  return (unsigned)(reference >> 59);
}

/// The end of the room of a text or of a list in the tail, or 0 if the reference was written by hand and is
/// wrong.
static inline size_t omomi_internal_tail_end(const OmomiRequest *request, uint64_t reference,
                                             size_t element_len_bytes) {
  const unsigned room_class = omomi_internal_reference_class(reference);
  const size_t len =
      room_class == 0 ? (size_t)omomi_internal_reference_len(reference) * element_len_bytes : (size_t)1 << room_class;
  const size_t end = (size_t)(uint32_t)reference + len;
  return end <= omomi_request_tail_used_bytes(request) ? end : 0;
}

/// Reserves `len_bytes` of the tail for a value that replaces the one in bytes `start` to `end`, whose room class is
/// `*room_class`: in its place if there is room, and else with room to spare, so that setting a field again and again
/// does not fill the tail.
OMOMI_INTERNAL_COLD OmomiStatus omomi_internal_tail_take_again(OmomiRequest *request, size_t start, size_t end,
                                                               size_t len_bytes, size_t alignment, uint32_t *out_start,
                                                               unsigned *room_class) {
  const size_t used_at = offsetof(OmomiHeader, tail_used_bytes);
  const uint32_t used = omomi_request_tail_used_bytes(request);
  OmomiStatus status;
  unsigned wanted = 0;
  if (end == used && *room_class == 0) {
    omomi_internal_header_set(request, used_at, (uint32_t)start);
    status = omomi_internal_tail_take(request, len_bytes, alignment, out_start);
    if (status != OMOMI_STATUS_OK)
      omomi_internal_header_set(request, used_at, used);
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
  if (len_bytes > request->layout.tail_len_bytes)
    return OMOMI_STATUS_TAIL_FULL;
  while ((size_t)1 << wanted < len_bytes)
    wanted++;
  if (omomi_internal_tail_take(request, (size_t)1 << wanted, alignment, out_start) == OMOMI_STATUS_OK) {
    *room_class = wanted;
    return OMOMI_STATUS_OK;
  }
  return omomi_internal_tail_take(request, len_bytes, alignment, out_start);
}

/// Reserves `len_bytes` of the tail for a field that is set again.
OMOMI_INTERNAL_COLD OmomiStatus omomi_internal_row_take_again(OmomiRow row, OmomiSlot slot, size_t len_bytes,
                                                              size_t alignment, uint32_t *out_start,
                                                              unsigned *room_class) {
  const unsigned char *const bytes = row.request->block + row.offset_bytes;
  const uint64_t inline_text = omomi_internal_word_at(bytes + offsetof(OmomiRowHead, inline_text)) >> slot.index & 1;
  const uint64_t reference = omomi_internal_word_at(bytes + sizeof(OmomiRowHead) + 8 * (size_t)slot.index);
  const size_t start = (uint32_t)reference;
  size_t end = omomi_internal_tail_end(row.request, reference, alignment), index;
  *room_class = omomi_internal_reference_class(reference);
  if (end != 0 && *room_class == 0 && slot.many && inline_text) {
    const unsigned char *const list = row.request->block + row.request->layout.tail_offset + start;
    for (index = 0; end != 0 && index < omomi_internal_reference_len(reference); index++) {
      const size_t text_end = omomi_internal_tail_end(row.request, omomi_internal_word_at(list + 8 * index), 1);
      end = text_end == 0 ? 0 : text_end > end ? text_end : end;
    }
  }
  if (end < start || start % alignment != 0) {
    *room_class = 0;
    return omomi_internal_tail_take(row.request, len_bytes, alignment, out_start);
  }
  return omomi_internal_tail_take_again(row.request, start, end, len_bytes, alignment, out_start, room_class);
}

/// Reserves `len_bytes` of the tail for a field: for a text, or for a list with its texts.
static inline OmomiStatus omomi_internal_row_take(OmomiRow row, OmomiSlot slot, size_t len_bytes, size_t alignment,
                                                  uint32_t *out_start, unsigned *room_class) {
  const unsigned char *const bytes = row.request->block + row.offset_bytes;
  uint64_t in_tail = omomi_internal_word_at(bytes + offsetof(OmomiRowHead, present));
  if (!slot.many)
    in_tail &= omomi_internal_word_at(bytes + offsetof(OmomiRowHead, inline_text));
  if (in_tail >> slot.index & 1)
    return omomi_internal_row_take_again(row, slot, len_bytes, alignment, out_start, room_class);
  return omomi_internal_tail_take(row.request, len_bytes, alignment, out_start);
}

/// A reference to bytes or to a list in the tail, as one word.
static inline uint64_t omomi_internal_reference(uint32_t start, uint32_t count, unsigned room_class) {
  return (uint64_t)start | (uint64_t)count << 32 | (uint64_t)room_class << 59;
}

/// Copies the bytes of a text. The length is rarely known at compile time, and a call of memcpy takes longer
/// than the two words that nearly every text fits into.
static inline void omomi_internal_copy_text(unsigned char *to, const char *from, size_t len_bytes) {
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

/// Sets a field to a list of `count` words.
static inline OmomiStatus omomi_internal_row_store_words(OmomiRow row, OmomiSlot slot, const void *words,
                                                         size_t count) {
  uint32_t start = 0;
  unsigned room_class = 0;
  OmomiStatus status = OMOMI_STATUS_OK;
  if (words == NULL && count != 0)
    status = OMOMI_STATUS_NULL_ARGUMENT;
  else if (count > OMOMI_MAX_VALUES_PER_FIELD)
    status = OMOMI_STATUS_TOO_MANY_VALUES;
  else
    status = omomi_internal_row_take(row, slot, count * 8, 8, &start, &room_class);
  if (status != OMOMI_STATUS_OK)
    return omomi_internal_row_refuse(row.request, row.offset_bytes, slot.row_type, slot.index, status);
  if (count != 0)
    memcpy(row.request->block + row.request->layout.tail_offset + start, words, count * 8);
  omomi_internal_row_store(row, slot, omomi_internal_reference(start, (uint32_t)count, room_class), 0);
  return OMOMI_STATUS_OK;
}

static inline OmomiStatus omomi_set_id(OmomiRow row, OmomiSlot slot, int64_t id) {
  if (!omomi_internal_row_takes(row, slot, OMOMI_KIND_ID, 0))
    return omomi_internal_row_refusal(row, slot, OMOMI_KIND_ID, 0);
  omomi_internal_row_store(row, slot, (uint64_t)id, 0);
  return OMOMI_STATUS_OK;
}

static inline OmomiStatus omomi_set_number(OmomiRow row, OmomiSlot slot, double number) {
  uint64_t word;
  if (!omomi_internal_row_takes(row, slot, OMOMI_KIND_NUMBER, 0))
    return omomi_internal_row_refusal(row, slot, OMOMI_KIND_NUMBER, 0);
  memcpy(&word, &number, sizeof word);
  omomi_internal_row_store(row, slot, word, 0);
  return OMOMI_STATUS_OK;
}

/// Sets a text in place of an earlier one, or where there may be no text or no room.
OMOMI_INTERNAL_COLD OmomiStatus omomi_internal_row_store_text_again(OmomiRequest *request, uint32_t offset_bytes,
                                                                    uint32_t row_type, uint32_t slot_index,
                                                                    const char *text, size_t len_bytes) {
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
    status = omomi_internal_row_take(row, slot, len_bytes, 1, &start, &room_class);
  if (status != OMOMI_STATUS_OK)
    return omomi_internal_row_refuse(row.request, row.offset_bytes, slot.row_type, slot.index, status);
  omomi_internal_copy_text(row.request->block + row.request->layout.tail_offset + start, text, len_bytes);
  omomi_internal_row_store(row, slot, omomi_internal_reference(start, (uint32_t)len_bytes, room_class), 1);
  return OMOMI_STATUS_OK;
}

static inline OmomiStatus omomi_set_text(OmomiRow row, OmomiSlot slot, OmomiText text) {
  uint64_t present, inline_text, reference, bit;
  unsigned char *block, *head;
  size_t tail_offset, tail_len;
  uint32_t start, end;
  if (!omomi_internal_row_takes(row, slot, OMOMI_KIND_TEXT, 0))
    return omomi_internal_row_refusal(row, slot, OMOMI_KIND_TEXT, 0);
  /* Reads all of the request before the first store, after which the compiler would have to read it again. */
  block = row.request->block;
  tail_offset = row.request->layout.tail_offset;
  tail_len = row.request->layout.tail_len_bytes;
  head = block + row.offset_bytes;
  memcpy(&start, block + offsetof(OmomiHeader, tail_used_bytes), sizeof start);
  present = omomi_internal_word_at(head + offsetof(OmomiRowHead, present));
  inline_text = omomi_internal_word_at(head + offsetof(OmomiRowHead, inline_text));
  bit = (uint64_t)1 << slot.index;
  if ((inline_text & bit) != 0 || text.text == NULL || start > tail_len || text.len_bytes > tail_len - start)
    return omomi_internal_row_store_text_again(row.request, row.offset_bytes, row.row_type, slot.index, text.text,
                                               text.len_bytes);
  end = start + (uint32_t)text.len_bytes;
  reference = omomi_internal_reference(start, (uint32_t)text.len_bytes, 0);
  present |= bit;
  inline_text |= bit;
  memcpy(block + offsetof(OmomiHeader, tail_used_bytes), &end, sizeof end);
  memcpy(head + offsetof(OmomiRowHead, present), &present, sizeof present);
  memcpy(head + offsetof(OmomiRowHead, inline_text), &inline_text, sizeof inline_text);
  memcpy(head + sizeof(OmomiRowHead) + 8 * (size_t)slot.index, &reference, sizeof reference);
  omomi_internal_copy_text(block + tail_offset + start, text.text, text.len_bytes);
  return OMOMI_STATUS_OK;
}

static inline OmomiStatus omomi_set_text_value(OmomiRow row, OmomiSlot slot, uint64_t value) {
  if (!omomi_internal_row_takes(row, slot, OMOMI_KIND_TEXT, 0))
    return omomi_internal_row_refusal(row, slot, OMOMI_KIND_TEXT, 0);
  omomi_internal_row_store(row, slot, value, 0);
  return OMOMI_STATUS_OK;
}

static inline OmomiStatus omomi_set_ids(OmomiRow row, OmomiSlot slot, const int64_t *ids, size_t count) {
  if (!omomi_internal_row_takes(row, slot, OMOMI_KIND_ID, 1))
    return omomi_internal_row_refusal(row, slot, OMOMI_KIND_ID, 1);
  return omomi_internal_row_store_words(row, slot, ids, count);
}

static inline OmomiStatus omomi_set_text_values(OmomiRow row, OmomiSlot slot, const uint64_t *values, size_t count) {
  if (!omomi_internal_row_takes(row, slot, OMOMI_KIND_TEXT, 1))
    return omomi_internal_row_refusal(row, slot, OMOMI_KIND_TEXT, 1);
  return omomi_internal_row_store_words(row, slot, values, count);
}

static inline OmomiStatus omomi_set_texts(OmomiRow row, OmomiSlot slot, const OmomiText *texts, size_t count) {
  size_t len_bytes = count * 8, index;
  uint32_t start = 0, end;
  unsigned room_class = 0;
  unsigned char *tail;
  OmomiStatus status = OMOMI_STATUS_OK;
  if (!omomi_internal_row_takes(row, slot, OMOMI_KIND_TEXT, 1))
    return omomi_internal_row_refusal(row, slot, OMOMI_KIND_TEXT, 1);
  if (texts == NULL && count != 0)
    status = OMOMI_STATUS_NULL_ARGUMENT;
  else if (count > OMOMI_MAX_VALUES_PER_FIELD)
    status = OMOMI_STATUS_TOO_MANY_VALUES;
  for (index = 0; status == OMOMI_STATUS_OK && index < count; index++) {
    if (texts[index].text == NULL && texts[index].len_bytes != 0)
      status = OMOMI_STATUS_NULL_ARGUMENT;
    else if (texts[index].len_bytes > row.request->layout.tail_len_bytes)
      status = OMOMI_STATUS_TAIL_FULL;
    else
      len_bytes += texts[index].len_bytes;
  }
  if (status == OMOMI_STATUS_OK)
    status = omomi_internal_row_take(row, slot, len_bytes, 8, &start, &room_class);
  if (status != OMOMI_STATUS_OK)
    return omomi_internal_row_refuse(row.request, row.offset_bytes, slot.row_type, slot.index, status);
  tail = row.request->block + row.request->layout.tail_offset;
  end = start + (uint32_t)count * 8;
  for (index = 0; index < count; index++) {
    const uint64_t reference = omomi_internal_reference(end, (uint32_t)texts[index].len_bytes, 0);
    omomi_internal_copy_text(tail + end, texts[index].text, texts[index].len_bytes);
    memcpy(tail + start + 8 * index, &reference, sizeof reference);
    end += (uint32_t)texts[index].len_bytes;
  }
  omomi_internal_row_store(row, slot, omomi_internal_reference(start, (uint32_t)count, room_class), 1);
  return OMOMI_STATUS_OK;
}

#ifdef __cplusplus
}
#endif

#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#endif

/* Calls each inline function and uses each initializer of the header. Compiled in every dialect, never run. */

#include <omomi.h>

int calls_every_inline_function(const OmomiScorer *scorer, const OmomiLiveScorer *live_scorer, OmomiCandidateSet *set,
                                const OmomiLayoutInfo *layout, void *block, const char *name, const OmomiSlot *slots);

int calls_every_inline_function(const OmomiScorer *scorer, const OmomiLiveScorer *live_scorer, OmomiCandidateSet *set,
                                const OmomiLayoutInfo *layout, void *block, const char *name, const OmomiSlot *slots) {
  static const OmomiText constant = OMOMI_TEXT_INIT("constant");
  static const OmomiLiveOptions live_options = OMOMI_LIVE_OPTIONS_INIT;
  const OmomiLiveMetrics metrics = OMOMI_LIVE_METRICS_INIT;
  const OmomiLiveStatus live_status = OMOMI_LIVE_STATUS_INIT;
  const OmomiLiveChange change = OMOMI_LIVE_CHANGE_INIT;
  const OmomiExplanation explanation = OMOMI_EXPLANATION_INIT;
  const OmomiLayoutInfo info = OMOMI_LAYOUT_INFO_INIT;
  const OmomiLayoutOptions layout_options = OMOMI_LAYOUT_OPTIONS_INIT;
  const OmomiModelInfo model_info = OMOMI_MODEL_INFO_INIT;
  const OmomiOpenOptions open_options = OMOMI_OPEN_OPTIONS_INIT;
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiField fields[3];
  OmomiText texts[2];
  const int64_t ids[2] = {1, -1};
  uint64_t values[2] = {1, 2};
  OmomiRequest request;
  OmomiOutcome outcome;
  OmomiRow row;
  OmomiStatus status;
  uint32_t index = 0;
  size_t sum = constant.len_bytes + metrics.size_bytes + live_status.size_bytes + change.size_bytes;
  sum += explanation.size_bytes + info.size_bytes + layout_options.size_bytes + model_info.size_bytes;
  sum += open_options.size_bytes + live_options.size_bytes;
  texts[0] = omomi_text("a literal");
  texts[1] = omomi_c_text(name);
  fields[0] = omomi_many(omomi_id_field(texts[0], OMOMI_SIDE_CONTEXT));
  fields[1] = omomi_text_field(texts[1], OMOMI_SIDE_CANDIDATE);
  fields[2] = omomi_number_field(omomi_text_of(name, 1), OMOMI_SIDE_CONTEXT, omomi_text("seconds"), 0.0, 1.0);
  sum += fields[0].size_bytes + fields[1].size_bytes + fields[2].size_bytes;
  if (omomi_request_init(&request, layout, block, layout->len_bytes) != OMOMI_STATUS_OK)
    return 1;
  omomi_request_clear(&request);
  row = omomi_context_row(&request);
  omomi_set_id(row, slots[0], -5);
  omomi_set_number(row, slots[1], 0.5);
  omomi_set_text(row, slots[2], texts[0]);
  omomi_set_text_value(row, slots[3], UINT64_MAX);
  row = omomi_candidate_row(&request, 0);
  omomi_row_clear(row);
  omomi_set_ids(row, slots[4], ids, 2);
  omomi_set_texts(row, slots[5], texts, 2);
  omomi_set_text_values(row, slots[6], values, 2);
  omomi_request_set_candidate(&request, 1, 7);
  omomi_request_set_candidates(&request, &index, 1);
  sum += omomi_request_filled_count(&request) + omomi_request_tail_used_bytes(&request);
  if (omomi_request_refusal(&request) != OMOMI_STATUS_OK)
    omomi_request_forget_refusal(&request);
  status = omomi_request_predict(scorer, &request, OMOMI_ALL_FILLED, &error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_request_predict_within(scorer, &request, 1, 500, &error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_request_predict_live(live_scorer, &request, 1, &error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_request_predict_live_within(live_scorer, &request, 1, 500, &error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_request_predict_live_fallback(live_scorer, &request, 1, &error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_request_add_to_set(set, &request, 0, &index, &error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_request_put_in_set(set, index, &request, 0, &error);
  outcome = omomi_request_outcome(&request);
  sum += outcome.scored_count + omomi_request_outcome_of(&request, 1).scored_count;
  sum += omomi_request_answered_count(&request) + omomi_request_answer(&request, 0).status;
  sum += omomi_request_answer_of(&request, 1, 0).status;
  return status == OMOMI_STATUS_OK && sum > 100;
}

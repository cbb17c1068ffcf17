/*
 * experiment WEIGHT_FILE EXPERIMENT LOG: an arm answers, a shadow scores, the policy chooses, and the ring records
 * both. Prints a line for each of 50 requests: the arm, its logic id, generation, bucket, the chosen candidate, the
 * propensity, and the number of shadows. Then checks careless calls.
 */

#include "small.h"
#include <math.h>

static OmomiError error = OMOMI_ERROR_INIT;

static void survives_careless_calls(OmomiExperiment *experiment, OmomiExperimentScorer *scorer, OmomiRequest *request,
                                    size_t len_bytes) {
  OmomiAnswered answered = OMOMI_ANSWERED_INIT;
  OmomiChoice choice = OMOMI_CHOICE_INIT;
  const double utilities[] = {1.0, HUGE_VAL};
  char text[64];
  size_t text_len_bytes = 0;
  EXPECT(NULL_ARGUMENT, omomi_experiment_scorer_predict(NULL, request->block, len_bytes, 1, omomi_text("1"), 0,
                                                        &answered, &error));
  EXPECT(NULL_ARGUMENT,
         omomi_experiment_scorer_predict(scorer, NULL, len_bytes, 1, omomi_text("1"), 0, &answered, &error));
  EXPECT(WRONG_SIZE, omomi_experiment_scorer_predict(scorer, request->block, len_bytes - 8, 1, omomi_text("1"), 0,
                                                     &answered, &error));
  EXPECT(RECORD_INVALID,
         omomi_experiment_scorer_predict(scorer, request->block, len_bytes, 1, omomi_text(""), 0, &answered, &error));
  EXPECT(INVALID_ARGUMENT, omomi_experiment_scorer_arm(scorer, 77, text, sizeof text, &text_len_bytes, &error));
  EXPECT(NULL_ARGUMENT, omomi_answered_choose(NULL, omomi_text("1"), utilities, 1, &choice, &error));
  EXPECT(RECORD_INVALID, omomi_answered_choose(&answered, omomi_text("1"), utilities, 2, &choice, &error));
  EXPECT(NULL_ARGUMENT, omomi_answered_choose(&answered, omomi_text("1"), NULL, 1, &choice, &error));
  EXPECT(OK, omomi_answered_choose(&answered, omomi_text("1"), NULL, 0, &choice, &error));
  CHECK(choice.has_candidate == 0);
  EXPECT(NULL_ARGUMENT, omomi_experiment_look_now(NULL, &error));
  EXPECT(NULL_ARGUMENT, omomi_experiment_status_json(NULL, NULL, 0, &text_len_bytes, &error));
  EXPECT(NULL_ARGUMENT, omomi_experiment_prometheus(NULL, NULL, 0, &text_len_bytes, &error));
  /* Without out_answered. */
  EXPECT(OK,
         omomi_experiment_scorer_predict(scorer, request->block, len_bytes, 1, omomi_text("1"), 1000000, NULL, &error));
  EXPECT(NO_MODEL, omomi_experiment_scorer_predict_fallback(scorer, request->block, len_bytes, 1, &error));
  EXPECT(OK, omomi_experiment_look_now(experiment, &error));
  omomi_experiment_scorer_hand_over(scorer);
  omomi_experiment_scorer_hand_over(NULL);
  omomi_experiment_scorer_close(NULL);
  omomi_experiment_close(NULL);
}

int main(int argc, char **argv) {
  OmomiLiveOptions options = OMOMI_LIVE_OPTIONS_INIT;
  OmomiServingLogOptions log_options = OMOMI_SERVING_LOG_OPTIONS_INIT;
  OmomiLayoutOptions layout_options = OMOMI_LAYOUT_OPTIONS_INIT;
  OmomiLayoutInfo info = OMOMI_LAYOUT_INFO_INIT;
  OmomiExperiment *experiment = NULL;
  OmomiExperimentScorer *scorer = NULL;
  OmomiServingLog *log = NULL;
  OmomiLogRing *ring = NULL;
  OmomiLayout *layout = NULL;
  OmomiRequest request;
  Small small;
  static char page[32 << 10];
  size_t index, json_len_bytes = 0, page_len_bytes = 0;
  CHECK(argc == 4);
  small = small_open(argv[1]);
  options.poll_interval_ms = 3600000;
  EXPECT(OK, omomi_experiment_open(omomi_c_text(argv[2]), small.schema, &options, &experiment, &error));
  layout_options.candidate_capacity = SMALL_CANDIDATES;
  layout_options.tail_len_bytes = SMALL_TAIL_LEN_BYTES;
  layout_options.model_count = 2;
  EXPECT(OK, omomi_layout_open_with(small.schema, &layout_options, &layout, &error));
  EXPECT(OK, omomi_layout_info(layout, &info, &error));
  EXPECT(OK, omomi_experiment_scorer_open(experiment, layout, NULL, &scorer, &error));
  EXPECT(OK, omomi_serving_log_open(omomi_c_text(argv[3]), &log_options, &log, &error));
  EXPECT(OK, omomi_log_ring_of_experiment_scorer(log, scorer, &ring, &error));
  EXPECT(OK, omomi_request_init(&request, &info, new_block(&info), info.len_bytes));
  small_fill(&small, &request);
  for (index = 0; index < 50; index++) {
    OmomiAnswered answered = OMOMI_ANSWERED_INIT;
    OmomiChoice choice = OMOMI_CHOICE_INIT;
    OmomiServed served = OMOMI_SERVED_INIT;
    OmomiRecorded recorded = OMOMI_RECORDED_DROPPED;
    double utilities[SMALL_FILLED];
    char id[32], arm[65], logic_id[129];
    size_t candidate, len_bytes = 0;
    uint64_t value = 0;
    snprintf(id, sizeof id, "request-%u", (unsigned)index);
    EXPECT(OK, omomi_experiment_scorer_predict(scorer, request.block, info.len_bytes, SMALL_FILLED, omomi_c_text(id), 0,
                                               &answered, &error));
    for (candidate = 0; candidate < SMALL_FILLED; candidate++)
      utilities[candidate] = (double)omomi_request_answer(&request, candidate).probability;
    EXPECT(OK, omomi_answered_choose(&answered, omomi_c_text(id), utilities, SMALL_FILLED, &choice, &error));
    CHECK(choice.has_candidate == 1);
    served.request_id = omomi_c_text(id);
    served.propensity = choice.propensity;
    EXPECT(OK,
           omomi_log_record(ring, request.block, info.len_bytes, choice.candidate, &served, &recorded, &error));
    CHECK(recorded == OMOMI_RECORDED_QUEUED);
    EXPECT(OK, omomi_experiment_scorer_arm(scorer, answered.arm, arm, sizeof arm, &len_bytes, &error));
    EXPECT(OK, omomi_experiment_scorer_logic_id(scorer, answered.arm, answered.generation, logic_id, sizeof logic_id,
                                                &len_bytes, &error));
    EXPECT(OK, omomi_text_value(omomi_c_text(id), &value, &error));
    CHECK(omomi_experiment_bucket(answered.salt, value) == answered.bucket);
    CHECK(omomi_request_outcome(&request).generation == answered.generation);
    printf("%s %s %u %u %u %.6f %u\n", arm, logic_id, (unsigned)answered.generation, (unsigned)answered.bucket,
           (unsigned)choice.candidate, choice.propensity, (unsigned)answered.shadow_count);
  }
  EXPECT(OK, omomi_experiment_status_json(experiment, NULL, 0, &json_len_bytes, &error));
  CHECK(json_len_bytes > 100);
  EXPECT(OK, omomi_experiment_prometheus(experiment, NULL, 0, &page_len_bytes, &error));
  CHECK(page_len_bytes < sizeof page);
  EXPECT(OK, omomi_experiment_prometheus(experiment, page, sizeof page, &page_len_bytes, &error));
  CHECK(strstr(page, "\nomomi_experiment_answered_requests_total{experiment=\"") != NULL);
  survives_careless_calls(experiment, scorer, &request, info.len_bytes);
  omomi_log_ring_close(ring);
  omomi_serving_log_close(log);
  omomi_experiment_close(experiment);
  omomi_experiment_scorer_close(scorer);
  omomi_layout_close(layout);
  free(request.block);
  small_close(&small);
  return 0;
}

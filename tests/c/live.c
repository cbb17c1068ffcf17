/*
 * live DIR: serves from a store while the test changes it. For each line on stdin, it looks at the store, asks, and
 * prints what answered: the generation with the bits of the logits, or the name of a status; then the number of current
 * problems. A second thread scores without a pause, and checks that each answer has the bits of one generation.
 */

#include "small.h"
#include <pthread.h>

enum { MAX_GENERATIONS = 64 };

static OmomiError error = OMOMI_ERROR_INIT;
static Small small;
static OmomiLive *live;
static int is_over;
static size_t answered_count;

/* Checks for statuses that a server expects. */
static int answered(OmomiStatus status, const OmomiError *error_of_call) {
  if (status != OMOMI_STATUS_OK && status != OMOMI_STATUS_NO_MODEL && status != OMOMI_STATUS_SWITCHED_OFF) {
    fprintf(stderr, "found %s: %s\n", omomi_status_name(status), error_of_call->message);
    exit(1);
  }
  return status == OMOMI_STATUS_OK;
}

static void *score_without_a_pause(void *unused) {
  OmomiError thread_error = OMOMI_ERROR_INIT;
  OmomiLiveScorer *scorer = NULL;
  OmomiRequest request = small_request(&small);
  double known[MAX_GENERATIONS][SMALL_FILLED];
  int is_known[MAX_GENERATIONS] = {0};
  size_t index;
  (void)unused;
  CHECK(omomi_live_scorer_open(live, small.layout, NULL, &scorer, &thread_error) == OMOMI_STATUS_OK);
  while (__atomic_load_n(&is_over, __ATOMIC_SEQ_CST) == 0) {
    double logits[SMALL_FILLED];
    uint64_t generation;
    if (!answered(omomi_request_predict_live(scorer, &request, SMALL_FILLED, &thread_error), &thread_error))
      continue;
    generation = omomi_request_outcome(&request).generation;
    CHECK(generation < MAX_GENERATIONS);
    for (index = 0; index < SMALL_FILLED; index++)
      logits[index] = omomi_request_answer(&request, index).logit;
    if (is_known[generation])
      CHECK(memcmp(logits, known[generation], sizeof logits) == 0);
    memcpy(known[generation], logits, sizeof logits);
    is_known[generation] = 1;
    answered_count++;
  }
  omomi_live_scorer_close(scorer);
  free(request.block);
  return NULL;
}

static void print_what_answers(const OmomiLiveScorer *scorer) {
  const OmomiStatus status = omomi_request_predict_live(scorer, &small.request, SMALL_FILLED, &error);
  OmomiLiveStatus said = OMOMI_LIVE_STATUS_INIT;
  size_t index;
  EXPECT(OK, omomi_live_status(live, &said, &error));
  if (answered(status, &error)) {
    const OmomiOutcome outcome = omomi_request_outcome(&small.request);
    char logic_id[32];
    size_t len = 0;
    CHECK(said.state == OMOMI_SERVING_STATE_SERVING && said.has_generation == 1);
    CHECK(said.generation == outcome.generation && said.weight_count > 10 && said.file_len_bytes > 1000);
    CHECK(said.since_unix_seconds > 0 && said.mapped_bytes >= said.file_len_bytes);
    EXPECT(OK, omomi_live_logic_id(live, outcome.generation, logic_id, sizeof logic_id, &len, &error));
    CHECK(strcmp(logic_id, "small-v1") == 0);
    printf("%u", (unsigned)outcome.generation);
    for (index = 0; index < SMALL_FILLED; index++) {
      const OmomiAnswer answer = omomi_request_answer(&small.request, index);
      uint64_t bits;
      memcpy(&bits, &answer.logit, sizeof bits);
      printf(" %08x%08x", (unsigned)(bits >> 32), (unsigned)bits);
    }
  } else {
    CHECK(said.state == (status == OMOMI_STATUS_NO_MODEL ? OMOMI_SERVING_STATE_NO_MODEL : OMOMI_SERVING_STATE_OFF));
    CHECK((said.control == OMOMI_CONTROL_OFF) == (status == OMOMI_STATUS_SWITCHED_OFF));
    printf("%s", omomi_status_name(status));
  }
  printf(", %u reasons\n", (unsigned)said.reason_count);
  fflush(stdout);
}

static OmomiLive *open_live(const char *dir) {
  OmomiLiveOptions options = OMOMI_LIVE_OPTIONS_INIT;
  OmomiLive *opened = NULL;
  options.name = omomi_text("c-client");
  options.load_mode = OMOMI_LOAD_MODE_COPY;
  options.poll_interval_ms = 3600 * 1000;
  options.trial_ms = 0;
  EXPECT(OK, omomi_live_open(omomi_c_text(dir), small.schema, &options, &opened, &error));
  return opened;
}

/* The JSON is that of the report. It fits the buffer, or the call fails. */
static void reports_the_status_as_json(void) {
  size_t len = 0, again = 0;
  char *json;
  EXPECT(OK, omomi_live_status_json(live, NULL, 0, &len, &error));
  json = (char *)malloc(len + 1);
  EXPECT_SAYING(WRONG_SIZE, "out_text", omomi_live_status_json(live, json, len, &again, &error));
  EXPECT(OK, omomi_live_status_json(live, json, len + 1, &again, &error));
  CHECK(again == len && strlen(json) == len && strstr(json, "\"state\":\"serving\"") != NULL);
  CHECK(strstr(json, "\"logic_id\":\"small-v1\"") != NULL);
  free(json);
}

/* The metrics, and the same as Prometheus text, which fits the buffer, or the call fails. */
static void reports_its_metrics(void) {
  OmomiLiveMetrics metrics = OMOMI_LIVE_METRICS_INIT;
  const OmomiLive *lives[2];
  size_t len = 0, again = 0, bucket;
  uint64_t timed_count = 0;
  char *text, *line;
  EXPECT(OK, omomi_live_metrics(live, &metrics, &error));
  CHECK(metrics.state == OMOMI_SERVING_STATE_SERVING && metrics.is_live == 1 && metrics.is_ready == 1);
  CHECK(metrics.prediction_count > answered_count && metrics.scored_count == SMALL_FILLED * metrics.prediction_count);
  CHECK(metrics.no_model_count > 0 && metrics.off_count > 0 && metrics.failed_count == 0 && metrics.panic_count == 0);
  CHECK(metrics.swap_served_count > 10 && metrics.swap_refused_count == 2 && metrics.last_load_ns > 0);
  CHECK(metrics.has_generation == 1 && metrics.generation > 10 && metrics.taken_unix_seconds > 0);
  for (bucket = 0; bucket < OMOMI_LATENCY_BUCKET_COUNT; bucket++) {
    timed_count += metrics.latency_counts[bucket];
    CHECK(bucket == 0 || omomi_live_latency_bound_ns(bucket) > omomi_live_latency_bound_ns(bucket - 1));
  }
  CHECK(timed_count == metrics.prediction_count && metrics.latency_sum_ns > 0);
  lives[0] = live;
  EXPECT(OK, omomi_live_prometheus(lives, 1, NULL, 0, &len, &error));
  text = (char *)malloc(2 * len);
  EXPECT_SAYING(WRONG_SIZE, "out_text", omomi_live_prometheus(lives, 1, text, 100, &again, &error));
  EXPECT(OK, omomi_live_prometheus(lives, 1, text, 2 * len, &again, &error));
  CHECK(strlen(text) == again && strncmp(text, "# HELP ", 7) == 0 && strstr(text, "omomi_") != NULL);
  lives[1] = live;
  EXPECT(OK, omomi_live_prometheus(lives, 2, text, 2 * len, &again, &error));
  line = strstr(text, "\nomomi_ready{");
  CHECK(line != NULL && strstr(line + 1, "\nomomi_ready{") == NULL); /* once, though the live model is there twice */
  free(text);
}

/* A scorer outlives its live model, and can still explain its answers. */
static void continues_without_the_live_model(OmomiLiveScorer *scorer) {
  OmomiExplanation explanation = OMOMI_EXPLANATION_INIT;
  EXPECT(OK, omomi_request_predict_live_within(scorer, &small.request, SMALL_FILLED, 60 * 1000000, &error));
  EXPECT(OK, omomi_live_scorer_explain(scorer, small.request.block, small.info.len_bytes, 1, &explanation, NULL, 0,
                                       &error));
  CHECK(explanation.contribution_count > 4);
  CHECK(explanation.logit == omomi_request_answer(&small.request, 1).logit);
}

int main(int argc, char **argv) {
  const OmomiField fields[] = {
      omomi_id_field(omomi_text("media_id"), OMOMI_SIDE_CONTEXT),
      omomi_many(omomi_text_field(omomi_text("interest"), OMOMI_SIDE_CONTEXT)),
      omomi_number_field(omomi_text("floor_price"), OMOMI_SIDE_CONTEXT, omomi_text("JPY per 1,000 impressions"), 0.0,
                         1000.0),
      omomi_text_field(omomi_text("region"), OMOMI_SIDE_CONTEXT),
      omomi_id_field(omomi_text("creative_id"), OMOMI_SIDE_CANDIDATE),
      omomi_text_field(omomi_text("title"), OMOMI_SIDE_CANDIDATE),
      omomi_many(omomi_id_field(omomi_text("tag"), OMOMI_SIDE_CANDIDATE)),
      omomi_number_field(omomi_text("age_seconds"), OMOMI_SIDE_CANDIDATE, omomi_text("s"), 0.0, 1e9),
  };
  OmomiLiveScorer *scorer = NULL;
  pthread_t thread;
  char line[16];
  CHECK(argc == 2);
  /* Declared by hand, because there may be no model to derive it from. */
  EXPECT(OK, omomi_schema_open(fields, sizeof fields / sizeof fields[0], &small.schema, &error));
  EXPECT(OK, omomi_layout_open(small.schema, SMALL_CANDIDATES, SMALL_TAIL_LEN_BYTES, &small.layout, &error));
  small.info.size_bytes = sizeof small.info;
  EXPECT(OK, omomi_layout_info(small.layout, &small.info, &error));
  small.request = small_request(&small);
  live = open_live(argv[1]);
  EXPECT(OK, omomi_live_scorer_open(live, small.layout, NULL, &scorer, &error));
  CHECK(pthread_create(&thread, NULL, score_without_a_pause, NULL) == 0);
  while (fgets(line, sizeof line, stdin) != NULL) {
    EXPECT(OK, omomi_live_look_now(live, &error));
    print_what_answers(scorer);
  }
  __atomic_store_n(&is_over, 1, __ATOMIC_SEQ_CST);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(answered_count > 0);
  reports_the_status_as_json();
  reports_its_metrics();
  omomi_live_close(live);
  continues_without_the_live_model(scorer);
  omomi_live_scorer_close(scorer);
  small_close(&small);
  return 0;
}

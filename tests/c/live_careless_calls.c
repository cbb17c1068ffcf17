/*
 * live_careless_calls FOLDER: like careless_calls, for live models. FOLDER has small.omomi and a store that publishes
 * it.
 */

#include "small.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static OmomiError error = OMOMI_ERROR_INIT;
static Small small;
static char dir[4096];
static OmomiLive *live;
static OmomiLiveScorer *scorer;

static OmomiLiveOptions quiet_options(void) {
  OmomiLiveOptions options = OMOMI_LIVE_OPTIONS_INIT;
  options.poll_interval_ms = 3600 * 1000;
  return options;
}

static OmomiStatus open_with(const OmomiLiveOptions *options) {
  OmomiLive *opened = NULL;
  const OmomiStatus status = omomi_live_open(omomi_c_text(dir), small.schema, options, &opened, &error);
  CHECK((opened != NULL) == (status == OMOMI_STATUS_OK));
  omomi_live_close(opened);
  return status;
}

static void careless_opening_is_a_status(void) {
  const uint64_t fingerprints[2] = {1, 2};
  const OmomiText absent_key = omomi_text("no.public");
  const size_t len = strlen(dir);
  OmomiLive *opened = NULL;
  OmomiLiveOptions options = quiet_options();
  EXPECT_SAYING(NULL_ARGUMENT, "dir is null", omomi_live_open(omomi_text_of(NULL, 3), small.schema, NULL, &opened,
                                                              &error));
  EXPECT_SAYING(NULL_ARGUMENT, "schema is null", omomi_live_open(omomi_text_of(dir, len), NULL, NULL, &opened, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "out_live is null", omomi_live_open(omomi_text_of(dir, len), small.schema, NULL, NULL,
                                                                   &error));
  EXPECT(NOT_UTF8, omomi_live_open(omomi_text("a\xff"), small.schema, NULL, &opened, &error));
  CHECK(opened == NULL);
  EXPECT(OK, open_with(NULL));
  options.size_bytes--;
  EXPECT(WRONG_SIZE, open_with(&options));
  options = quiet_options();
  options.load_mode = 7;
  EXPECT_SAYING(INVALID_ARGUMENT, "found 7", open_with(&options));
  options = quiet_options();
  options.lock_memory = 2;
  EXPECT_SAYING(INVALID_ARGUMENT, "options->lock_memory: expected 0 or 1, found 2", open_with(&options));
  options = quiet_options();
  options.poll_interval_ms = 0;
  EXPECT_SAYING(INVALID_ARGUMENT, "poll interval", open_with(&options));
  options = quiet_options();
  options.name = omomi_text("a/b");
  EXPECT_SAYING(INVALID_ARGUMENT, "a/b", open_with(&options));
  options = quiet_options();
  options.name.text = NULL;
  EXPECT_SAYING(NULL_ARGUMENT, "options->name is null", open_with(&options));
  options = quiet_options();
  options.contract_fingerprint_count = 2;
  EXPECT(NULL_ARGUMENT, open_with(&options));
  options.contract_fingerprints = fingerprints;
  EXPECT(OK, open_with(&options));
  options = quiet_options();
  options.signature = 3;
  EXPECT_SAYING(INVALID_ARGUMENT, "found 3", open_with(&options));
  options.signature = OMOMI_SIGNATURE_REQUIRE;
  EXPECT_SAYING(INVALID_ARGUMENT, "expected a trusted key", open_with(&options));
  options.trusted_key_path_count = 1;
  EXPECT(NULL_ARGUMENT, open_with(&options));
  options.trusted_key_paths = &absent_key;
  EXPECT(FILE, open_with(&options));
}

static void a_directory_without_a_store_is_not_an_error(void) {
  OmomiLiveStatus status = OMOMI_LIVE_STATUS_INIT;
  OmomiLiveScorer *without_model = NULL;
  OmomiLiveOptions options = quiet_options();
  OmomiExplanation explanation = OMOMI_EXPLANATION_INIT;
  OmomiLive *opened = NULL;
  char absent[4100];
  snprintf(absent, sizeof absent, "%s-not", dir);
  EXPECT(OK, omomi_live_open(omomi_c_text(absent), small.schema, &options, &opened, &error));
  EXPECT(OK, omomi_live_status(opened, &status, &error));
  CHECK(status.state == OMOMI_SERVING_STATE_NO_MODEL && status.has_generation == 0 && status.reason_count > 0);
  EXPECT(OK, omomi_live_scorer_open(opened, small.layout, NULL, &without_model, &error));
  EXPECT_SAYING(NO_MODEL, "fallback until one is served",
                omomi_request_predict_live(without_model, &small.request, SMALL_FILLED, &error));
  CHECK(omomi_status_owner(OMOMI_STATUS_NO_MODEL) == OMOMI_OWNER_ML);
  EXPECT(NO_MODEL, omomi_live_scorer_explain(without_model, small.request.block, small.info.len_bytes, 0,
                                             &explanation, NULL, 0, &error));
  omomi_live_close(opened);
  omomi_live_scorer_close(without_model);
}

static void careless_queries_are_a_status(void) {
  OmomiLiveMetrics metrics = OMOMI_LIVE_METRICS_INIT;
  const OmomiLive *lives[2] = {NULL, NULL};
  OmomiLiveStatus status = OMOMI_LIVE_STATUS_INIT;
  char text[9] = "unchanged"; /* without its null byte, which C99 allows */
  size_t len = 77;
  EXPECT_SAYING(NULL_ARGUMENT, "live is null", omomi_live_look_now(NULL, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_status(NULL, &status, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_status(live, NULL, &error));
  status.size_bytes++;
  EXPECT(WRONG_SIZE, omomi_live_status(live, &status, &error));
  CHECK(status.heartbeat_unix_seconds == 0);
  EXPECT(NULL_ARGUMENT, omomi_live_status_json(NULL, text, 9, &len, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_status_json(live, NULL, 9, &len, &error));
  EXPECT(WRONG_SIZE, omomi_live_status_json(live, text, 9, &len, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_logic_id(NULL, 7, text, 9, &len, &error));
  EXPECT_SAYING(INVALID_ARGUMENT, "found 8", omomi_live_logic_id(live, 8, text, 9, &len, &error));
  EXPECT(WRONG_SIZE, omomi_live_logic_id(live, 7, text, 8, &len, &error));
  CHECK(len == 77 && memcmp(text, "unchanged", 9) == 0);
  EXPECT(OK, omomi_live_logic_id(live, 7, text, 9, &len, &error));
  CHECK(len == 8 && strcmp(text, "small-v1") == 0);
  metrics.size_bytes--;
  EXPECT(WRONG_SIZE, omomi_live_metrics(live, &metrics, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_metrics(NULL, &metrics, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_metrics(live, NULL, &error));
  CHECK(omomi_live_latency_bound_ns(OMOMI_LATENCY_BOUND_COUNT) == UINT64_MAX);
  CHECK(omomi_live_latency_bound_ns((size_t)-1) == UINT64_MAX);
  EXPECT(NULL_ARGUMENT, omomi_live_prometheus(NULL, 1, text, 9, &len, &error));
  EXPECT(INVALID_ARGUMENT, omomi_live_prometheus(lives, (size_t)-1, text, 9, &len, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "an element of lives", omomi_live_prometheus(lives, 2, NULL, 0, &len, &error));
  lives[0] = live;
  EXPECT(NULL_ARGUMENT, omomi_live_prometheus(lives, 1, NULL, 9, &len, &error));
  EXPECT(INVALID_ARGUMENT, omomi_live_prometheus(lives, 1, text, (size_t)-1, &len, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_prometheus(lives, 1, text, 9, NULL, &error));
  EXPECT(WRONG_SIZE, omomi_live_prometheus(lives, 1, text, 9, &len, &error));
  omomi_live_close(NULL);
  omomi_live_scorer_close(NULL);
}

static OmomiStatus open_scorer(const OmomiLayout *layout, const OmomiCandidateSet *set) {
  OmomiLiveScorer *opened = NULL;
  const OmomiStatus status = omomi_live_scorer_open(live, layout, set, &opened, &error);
  CHECK((opened != NULL) == (status == OMOMI_STATUS_OK));
  omomi_live_scorer_close(opened);
  return status;
}

static void a_scorer_of_another_layout_is_refused(void) {
  const OmomiField field = omomi_id_field(omomi_text("media_id"), OMOMI_SIDE_CONTEXT);
  OmomiLayoutOptions options = OMOMI_LAYOUT_OPTIONS_INIT;
  OmomiLiveScorer *opened = NULL;
  OmomiSchema *other_schema;
  OmomiLayout *other, *two_models, *prepared;
  OmomiCandidateSet *set;
  EXPECT(OK, omomi_schema_open(&field, 1, &other_schema, &error));
  EXPECT(OK, omomi_layout_open(other_schema, 5, 0, &other, &error));
  options.candidate_capacity = 5;
  options.model_count = 2;
  EXPECT(OK, omomi_layout_open_with(small.schema, &options, &two_models, &error));
  options.model_count = 1;
  options.candidates = OMOMI_CANDIDATES_PREPARED;
  EXPECT(OK, omomi_layout_open_with(small.schema, &options, &prepared, &error));
  EXPECT(OK, omomi_candidate_set_open(small.layout, 10, 4, &set, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "live is null", omomi_live_scorer_open(NULL, small.layout, NULL, &opened, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "layout is null", omomi_live_scorer_open(live, NULL, NULL, &opened, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_scorer_open(live, small.layout, NULL, NULL, &error));
  CHECK(opened == NULL);
  EXPECT_SAYING(INVALID_ARGUMENT, "schema", open_scorer(other, NULL));
  EXPECT_SAYING(INVALID_ARGUMENT, "found one for several", open_scorer(two_models, NULL));
  EXPECT(INVALID_ARGUMENT, open_scorer(prepared, NULL));
  EXPECT(INVALID_ARGUMENT, open_scorer(small.layout, set));
  EXPECT(OK, open_scorer(prepared, set));
  omomi_candidate_set_close(set);
  omomi_layout_close(prepared);
  omomi_layout_close(two_models);
  omomi_layout_close(other);
  omomi_schema_close(other_schema);
}

static void prepared_candidates_get_the_answers_of_rows(void) {
  OmomiLayoutOptions options = OMOMI_LAYOUT_OPTIONS_INIT;
  OmomiLayoutInfo info = OMOMI_LAYOUT_INFO_INIT;
  const OmomiText interests[] = {{"\xe6\x97\x85\xe8\xa1\x8c", 6}, {"", 0}, {"news", 4}};
  OmomiLiveScorer *prepared_scorer;
  OmomiCandidateSet *set;
  OmomiLayout *layout;
  OmomiRequest request;
  OmomiRow context;
  uint32_t index;
  options.candidate_capacity = SMALL_FILLED;
  options.tail_len_bytes = 4096;
  options.candidates = OMOMI_CANDIDATES_PREPARED;
  EXPECT(OK, omomi_candidate_set_open(small.layout, 10, 4, &set, &error));
  EXPECT(OK, omomi_layout_open_with(small.schema, &options, &layout, &error));
  EXPECT(OK, omomi_layout_info(layout, &info, &error));
  EXPECT(OK, omomi_live_scorer_open(live, layout, set, &prepared_scorer, &error));
  EXPECT(OK, omomi_request_init(&request, &info, new_block(&info), info.len_bytes));
  omomi_request_clear(&request);
  context = omomi_context_row(&request);
  EXPECT(OK, omomi_set_id(context, small_slot(&small, "media_id"), INT64_MIN));
  EXPECT(OK, omomi_set_texts(context, small_slot(&small, "interest"), interests, 3));
  EXPECT(OK, omomi_set_number(context, small_slot(&small, "floor_price"), 50.0));
  EXPECT(OK, omomi_set_text(context, small_slot(&small, "region"), omomi_text("\xe6\x9d\xb1\xe4\xba\xac")));
  for (index = 0; index < SMALL_FILLED; index++) {
    EXPECT(OK, omomi_request_put_in_set(set, index, &small.request, index, &error));
    omomi_request_set_candidate(&request, index, index);
  }
  EXPECT(OK, omomi_request_predict_live(prepared_scorer, &request, SMALL_FILLED, &error));
  EXPECT(OK, omomi_request_predict_live(scorer, &small.request, SMALL_FILLED, &error));
  for (index = 0; index < SMALL_FILLED; index++) {
    const OmomiAnswer answer = omomi_request_answer(&request, index);
    const OmomiAnswer expected = omomi_request_answer(&small.request, index);
    CHECK(answer.status == OMOMI_CANDIDATE_SCORED && memcmp(&answer, &expected, sizeof answer) == 0);
  }
  omomi_live_scorer_close(prepared_scorer);
  omomi_layout_close(layout);
  omomi_candidate_set_close(set);
  free(request.block);
}

/* A careless request was once reported as "no model" until there was one. */
static void misuse_is_reported_even_while_there_is_no_model(const char *folder) {
  char empty[4096];
  OmomiLiveOptions options = quiet_options();
  OmomiLive *waiting;
  OmomiLiveScorer *waiting_scorer;
  const size_t len = small.info.len_bytes;
  OmomiRequest request = small_request(&small);
  snprintf(empty, sizeof empty, "%s/no-store", folder);
  EXPECT(OK, omomi_live_open(omomi_c_text(empty), small.schema, &options, &waiting, &error));
  EXPECT(OK, omomi_live_scorer_open(waiting, small.layout, NULL, &waiting_scorer, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_scorer_predict(waiting_scorer, NULL, len, 1, &error));
  EXPECT(MISALIGNED, omomi_live_scorer_predict(waiting_scorer, request.block + 4, len, 1, &error));
  EXPECT(WRONG_SIZE, omomi_live_scorer_predict(waiting_scorer, request.block, len - 8, 1, &error));
  EXPECT(TOO_MANY_CANDIDATES, omomi_request_predict_live(waiting_scorer, &request, SMALL_CANDIDATES + 1, &error));
  omomi_set_id(omomi_context_row(&request), small_slot(&small, "title"), 1);
  EXPECT(WRONG_FIELD_USE, omomi_request_predict_live(waiting_scorer, &request, 1, &error));
  omomi_request_forget_refusal(&request);
  EXPECT(NO_MODEL, omomi_request_predict_live(waiting_scorer, &request, OMOMI_ALL_FILLED, &error));
  CHECK(omomi_request_answered_count(&request) == 0);
  omomi_live_scorer_close(waiting_scorer);
  omomi_live_close(waiting);
  free(request.block);
}

static void misuse_of_predict_is_a_status_and_the_next_call_is_answered(void) {
  unsigned char *block = small.request.block;
  const size_t len = small.info.len_bytes;
  OmomiExplanation explanation = OMOMI_EXPLANATION_INIT;
  EXPECT_SAYING(NULL_ARGUMENT, "scorer is null", omomi_live_scorer_predict(NULL, block, len, 1, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_scorer_predict(scorer, NULL, len, 1, &error));
  EXPECT(MISALIGNED, omomi_live_scorer_predict(scorer, block + 1, len, 1, &error));
  EXPECT(WRONG_SIZE, omomi_live_scorer_predict(scorer, block, len - 8, 1, &error));
  EXPECT(TOO_MANY_CANDIDATES, omomi_live_scorer_predict_within(scorer, block, len, (size_t)-2, 5, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_scorer_predict(NULL, NULL, 0, 0, NULL));
  EXPECT(NULL_ARGUMENT, omomi_live_scorer_explain(NULL, block, len, 0, &explanation, NULL, 0, &error));
  EXPECT(WRONG_SIZE, omomi_live_scorer_explain(scorer, block, 8, 0, &explanation, NULL, 0, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_scorer_explain(scorer, block, len, 0, NULL, NULL, 0, &error));
  EXPECT(TOO_MANY_CANDIDATES,
         omomi_live_scorer_explain(scorer, block, len, (size_t)-1, &explanation, NULL, 0, &error));
  EXPECT(OK, omomi_request_predict_live(scorer, &small.request, SMALL_FILLED, &error));
  CHECK(omomi_request_outcome(&small.request).generation == 7);
  CHECK(omomi_request_outcome(&small.request).scored_count == SMALL_FILLED);
}

/* Runs in a fork. Whatever holds a lock of the live model is not in this process, so no call may wait. */
static void calls_in_a_fork(void) {
  OmomiLiveStatus status = OMOMI_LIVE_STATUS_INIT;
  OmomiLiveMetrics metrics = OMOMI_LIVE_METRICS_INIT;
  OmomiLiveOptions options = quiet_options();
  const OmomiLive *lives[1];
  OmomiLiveScorer *opened = NULL;
  OmomiLive *own;
  char text[4096];
  size_t len;
  lives[0] = live;
  EXPECT_SAYING(FORKED, "after the fork", omomi_live_look_now(live, &error));
  EXPECT(FORKED, omomi_live_status(live, &status, &error));
  EXPECT(FORKED, omomi_live_status_json(live, text, sizeof text, &len, &error));
  EXPECT(FORKED, omomi_live_metrics(live, &metrics, &error));
  EXPECT(FORKED, omomi_live_prometheus(lives, 1, text, sizeof text, &len, &error));
  EXPECT(FORKED, omomi_live_scorer_open(live, small.layout, NULL, &opened, &error));
  CHECK(opened == NULL && metrics.is_live == 0 && metrics.is_ready == 0 && status.has_generation == 0);
  /* Scoring goes on, and so does logging. */
  EXPECT(OK, omomi_request_predict_live(scorer, &small.request, SMALL_FILLED, &error));
  CHECK(omomi_request_outcome(&small.request).generation == 7);
  if (omomi_live_logic_id(live, 7, text, sizeof text, &len, &error) != OMOMI_STATUS_OK)
    CHECK(error.status == OMOMI_STATUS_FORKED);
  omomi_live_close(live);
  EXPECT(OK, omomi_request_predict_live(scorer, &small.request, SMALL_FILLED, &error));
  omomi_live_scorer_close(scorer);
  /* The fork's own live model works. */
  options.name = omomi_text("fork");
  EXPECT(OK, omomi_live_open(omomi_c_text(dir), small.schema, &options, &own, &error));
  EXPECT(OK, omomi_live_look_now(own, &error));
  EXPECT(OK, omomi_live_scorer_open(own, small.layout, NULL, &opened, &error));
  EXPECT(OK, omomi_request_predict_live(opened, &small.request, SMALL_FILLED, &error));
  omomi_live_close(own);
  omomi_live_scorer_close(opened);
}

static void *look_often(void *is_over) {
  while (__atomic_load_n((int *)is_over, __ATOMIC_SEQ_CST) == 0)
    CHECK(omomi_live_look_now(live, NULL) == OMOMI_STATUS_OK);
  return NULL;
}

/* Calls in a fork once hung, and closing printed a panic. Forks at many moments of the background thread. */
static void a_fork_gets_a_status_at_once_and_may_open_a_live_model_of_its_own(void) {
  int round, is_over = 0;
  pthread_t looking;
  CHECK(pthread_create(&looking, NULL, look_often, &is_over) == 0);
  for (round = 0; round < 20; round++) {
    int outcome;
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      alarm(60);
      calls_in_a_fork();
      /* Ends without valgrind's search for leaks: a fork cannot free what the absent thread uses. */
      raise(SIGKILL);
    }
    CHECK(waitpid(child, &outcome, 0) == child);
    CHECK(WIFSIGNALED(outcome) && WTERMSIG(outcome) == SIGKILL);
  }
  __atomic_store_n(&is_over, 1, __ATOMIC_SEQ_CST);
  CHECK(pthread_join(looking, NULL) == 0);
  /* The parent is not affected. */
  EXPECT(OK, omomi_live_look_now(live, &error));
  EXPECT(OK, omomi_request_predict_live(scorer, &small.request, SMALL_FILLED, &error));
}

static size_t answered_count;

static void *predict_often(void *unused) {
  OmomiError thread_error = OMOMI_ERROR_INIT;
  OmomiRequest request = small_request(&small);
  size_t round;
  (void)unused;
  for (round = 0; round < 2000; round++) {
    const OmomiStatus status = omomi_request_predict_live(scorer, &request, SMALL_FILLED, &thread_error);
    CHECK(status == OMOMI_STATUS_OK || status == OMOMI_STATUS_SCORER_BUSY);
    if (status != OMOMI_STATUS_OK)
      continue;
    CHECK(omomi_request_answer(&request, 1).logit == omomi_request_answer(&small.request, 1).logit);
    __atomic_add_fetch(&answered_count, 1, __ATOMIC_SEQ_CST);
  }
  free(request.block);
  return NULL;
}

/* Runs while a third thread looks at the store, which must not affect them. */
static void threads_on_one_scorer_get_a_status_or_the_right_answer(void) {
  pthread_t threads[2];
  size_t index;
  omomi_live_scorer_hand_over(scorer);
  omomi_live_scorer_hand_over(NULL);
  for (index = 0; index < 2; index++)
    CHECK(pthread_create(&threads[index], NULL, predict_often, NULL) == 0);
  for (index = 0; index < 20; index++)
    EXPECT(OK, omomi_live_look_now(live, &error));
  for (index = 0; index < 2; index++)
    CHECK(pthread_join(threads[index], NULL) == 0);
  CHECK(answered_count > 0);
  EXPECT(SCORER_BUSY, omomi_request_predict_live(scorer, &small.request, SMALL_FILLED, &error));
  omomi_live_scorer_hand_over(scorer);
}

int main(int argc, char **argv) {
  OmomiLiveOptions options = quiet_options();
  char path[4096];
  CHECK(argc == 2);
  snprintf(path, sizeof path, "%s/small.omomi", argv[1]);
  snprintf(dir, sizeof dir, "%s/store", argv[1]);
  small = small_open(path);
  careless_opening_is_a_status();
  a_directory_without_a_store_is_not_an_error();
  EXPECT(OK, omomi_live_open(omomi_c_text(dir), small.schema, &options, &live, &error));
  EXPECT(OK, omomi_live_scorer_open(live, small.layout, NULL, &scorer, &error));
  careless_queries_are_a_status();
  a_scorer_of_another_layout_is_refused();
  prepared_candidates_get_the_answers_of_rows();
  misuse_of_predict_is_a_status_and_the_next_call_is_answered();
  misuse_is_reported_even_while_there_is_no_model(argv[1]);
  threads_on_one_scorer_get_a_status_or_the_right_answer();
  a_fork_gets_a_status_at_once_and_may_open_a_live_model_of_its_own();
  omomi_live_close(live);
  omomi_live_scorer_close(scorer);
  small_close(&small);
  printf("every careless call was survived\n");
  return 0;
}

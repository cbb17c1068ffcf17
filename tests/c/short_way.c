/*
 * short_way WEIGHT_FILE STORE: what tools and tests use (a scorer of a model alone, a request that owns its block, given
 * answers), texts of every kind, the version, and a watcher of a live model.
 */

#include "check.h"
#include <math.h>
#include <pthread.h>

#if OMOMI_VERSION < 1000 ||                                                                                            \
    OMOMI_VERSION != OMOMI_VERSION_MAJOR * 1000000 + OMOMI_VERSION_MINOR * 1000 + OMOMI_VERSION_PATCH
#error "the numbers of the version do not agree"
#endif

static OmomiError error = OMOMI_ERROR_INIT;

static void the_version_is_that_of_the_library(void) {
  char text[64];
  snprintf(text, sizeof text, "%d.%d.%d", OMOMI_VERSION_MAJOR, OMOMI_VERSION_MINOR, OMOMI_VERSION_PATCH);
  CHECK(strcmp(text, omomi_version()) == 0 && omomi_version_number() == OMOMI_VERSION);
  CHECK(omomi_abi_version() == OMOMI_ABI_VERSION);
}

static void texts_have_the_length_that_they_say(void) {
  static const OmomiText constant = OMOMI_TEXT_INIT("a\0b");
  const char *runtime = "a\0b";
  CHECK(omomi_text("a\0b").len_bytes == 3 && constant.len_bytes == 3 && memcmp(constant.text, "a\0b", 3) == 0);
  CHECK(omomi_text("").len_bytes == 0 && omomi_text("旅行").len_bytes == 6);
  CHECK(omomi_c_text(runtime).len_bytes == 1 && omomi_c_text(NULL).len_bytes == 0);
  CHECK(omomi_text_of(runtime, 3).len_bytes == 3);
}

static void a_model_alone_is_enough_to_score(const char *path) {
  OmomiModel *model;
  OmomiScorer *scorer = NULL;
  OmomiRequest request, closed;
  OmomiSlot creative_id, title;
  size_t index;
  EXPECT(OK, omomi_model_open(omomi_c_text(path), NULL, &model, &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_of_model(NULL, 5, &scorer, &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_of_model(model, 5, NULL, &error));
  EXPECT(INVALID_ARGUMENT, omomi_scorer_of_model(model, 0, &scorer, &error));
  EXPECT(INVALID_ARGUMENT, omomi_scorer_of_model(model, (size_t)-1, &scorer, &error));
  CHECK(scorer == NULL);
  EXPECT(OK, omomi_scorer_of_model(model, 500, &scorer, &error));
  omomi_model_close(model);
  EXPECT(NULL_ARGUMENT, omomi_request_of_scorer(NULL, &request, &error));
  EXPECT(NULL_ARGUMENT, omomi_request_of_scorer(scorer, NULL, &error));
  EXPECT(OK, omomi_request_of_scorer(scorer, &request, &error));
  CHECK((uintptr_t)request.block % 64 == 0 && request.layout.candidate_capacity == 500);
  EXPECT(OK, omomi_scorer_slot(scorer, omomi_text("creative_id"), &creative_id, &error));
  EXPECT(OK, omomi_scorer_slot(scorer, omomi_text("title"), &title, &error));
  EXPECT_SAYING(UNKNOWN_FIELD, "no field `tilte`", omomi_scorer_slot(scorer, omomi_text("tilte"), &title, &error));
  for (index = 0; index < 500; index++) {
    omomi_set_id(omomi_candidate_row(&request, index), creative_id, (int64_t)index);
    omomi_set_text(omomi_candidate_row(&request, index), title, omomi_text("a title of nearly a kilobyte"));
  }
  EXPECT(OK, omomi_request_predict(scorer, &request, OMOMI_ALL_FILLED, &error));
  CHECK(omomi_request_outcome(&request).scored_count == 500);
  omomi_request_close(&request);
  omomi_request_close(&request);
  omomi_request_close(NULL);
  CHECK(request.block == NULL && omomi_set_id(omomi_context_row(&request), title, 1) == OMOMI_STATUS_NULL_ARGUMENT);
  EXPECT(NULL_ARGUMENT, omomi_request_predict(scorer, &request, 1, &error));
  memset(&closed, 0, sizeof closed);
  omomi_request_close(&closed);
  omomi_scorer_close(scorer);
}

/* A server's own code: the index of the best candidate, or -1 if there is no answer. */
static int best(const OmomiLiveScorer *scorer, OmomiRequest *request) {
  size_t index;
  int found = -1;
  if (omomi_request_predict_live(scorer, request, OMOMI_ALL_FILLED, &error) != OMOMI_STATUS_OK)
    return -1;
  for (index = 0; index < omomi_request_answered_count(request); index++)
    if (omomi_request_answer(request, index).status == OMOMI_CANDIDATE_SCORED &&
        (found < 0 || omomi_request_answer(request, index).probability >
                          omomi_request_answer(request, (size_t)found).probability))
      found = (int)index;
  return found;
}

typedef struct {
  OmomiStatus status;
  const double *probabilities;
  uint32_t call_count;
} Given;

static OmomiStatus give(void *data, size_t candidate, double *out_probability) {
  Given *given = (Given *)data;
  *out_probability = given->probabilities[candidate];
  given->call_count++;
  return given->status;
}

static void a_test_gives_the_answers_of_a_scorer(void) {
  const OmomiField field = omomi_id_field(omomi_text("creative_id"), OMOMI_SIDE_CANDIDATE);
  const double probabilities[] = {0.25, NAN, 0.75, 0.5, 1.0};
  Given given = {OMOMI_STATUS_OK, probabilities, 0};
  OmomiExplanation explanation = OMOMI_EXPLANATION_INIT;
  OmomiSchema *schema;
  OmomiLayout *layout;
  OmomiScorer *scorer;
  OmomiLiveScorer *live_scorer;
  OmomiRequest request;
  OmomiSlot creative_id;
  size_t index;
  EXPECT(OK, omomi_schema_open(&field, 1, &schema, &error));
  EXPECT(OK, omomi_schema_slot(schema, omomi_text("creative_id"), &creative_id, &error));
  EXPECT(OK, omomi_layout_open(schema, 5, 64, &layout, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "given is null", omomi_test_scorer_open(layout, NULL, NULL, &scorer, &error));
  EXPECT(NULL_ARGUMENT, omomi_test_scorer_open(NULL, give, &given, &scorer, &error));
  EXPECT(NULL_ARGUMENT, omomi_test_live_scorer_open(layout, give, &given, NULL, &error));
  EXPECT(OK, omomi_test_scorer_open(layout, give, &given, &scorer, &error));
  EXPECT(OK, omomi_test_live_scorer_open(layout, give, &given, &live_scorer, &error));
  EXPECT(OK, omomi_request_of_scorer(scorer, &request, &error));
  for (index = 0; index < 4; index++)
    if (index != 3)
      omomi_set_id(omomi_candidate_row(&request, index), creative_id, (int64_t)index);
  CHECK(best(live_scorer, &request) == 2 && omomi_request_outcome(&request).generation == 1);
  (void)omomi_candidate_row(&request, 3);
  EXPECT(OK, omomi_request_predict_within(scorer, &request, 4, 0, &error));
  CHECK(omomi_request_answer(&request, 0).probability == 0.25f && omomi_request_answer(&request, 3).logit == 0.0);
  CHECK(omomi_request_answer(&request, 1).status == OMOMI_CANDIDATE_NOT_UTF8);
  CHECK(omomi_request_outcome(&request).scored_count == 3 && omomi_request_outcome(&request).refused_count == 1);
  EXPECT(OK, omomi_request_predict(scorer, &request, 5, &error));
  CHECK(omomi_request_answer(&request, 4).status == OMOMI_CANDIDATE_NOT_FILLED && given.call_count == 3 + 4 + 4);
  EXPECT(TOO_MANY_CANDIDATES, omomi_request_predict(scorer, &request, 6, &error));
  CHECK(omomi_request_answered_count(&request) == 0);
  given.status = OMOMI_STATUS_NO_MODEL;
  CHECK(best(live_scorer, &request) == -1 && error.status == OMOMI_STATUS_NO_MODEL);
  given.status = OMOMI_STATUS_SWITCHED_OFF;
  EXPECT(SWITCHED_OFF, omomi_request_predict_live_within(live_scorer, &request, 1, 5, &error));
  given.status = 12345;
  EXPECT_SAYING(INVALID_ARGUMENT, "found 12345", omomi_request_predict(scorer, &request, 1, &error));
  given.status = OMOMI_STATUS_OK;
  (void)omomi_candidate_row(&request, 4);
  EXPECT_SAYING(INVALID_ARGUMENT, "candidate 4, found 1", omomi_request_predict(scorer, &request, 5, &error));
  omomi_set_text(omomi_candidate_row(&request, 0), creative_id, omomi_text("x"));
  EXPECT(WRONG_FIELD_USE, omomi_request_predict(scorer, &request, 1, &error));
  omomi_request_forget_refusal(&request);
  EXPECT_SAYING(INVALID_ARGUMENT, "nothing to explain",
                omomi_scorer_explain(scorer, request.block, request.layout.len_bytes, 0, &explanation, NULL, 0,
                                     &error));
  omomi_request_close(&request);
  omomi_scorer_close(scorer);
  omomi_live_scorer_close(live_scorer);
  omomi_layout_close(layout);
  omomi_schema_close(schema);
}

static OmomiLiveWatcher *watcher;

static void *wait_for_the_end(void *unused) {
  OmomiLiveChange change = OMOMI_LIVE_CHANGE_INIT;
  OmomiError own = OMOMI_ERROR_INIT;
  OmomiStatus status;
  do
    status = omomi_live_watcher_next(watcher, UINT64_MAX, &change, &own);
  while (status == OMOMI_STATUS_OK);
  CHECK(status == OMOMI_STATUS_CLOSED);
  return unused;
}

static void a_watcher_tells_what_changes(const char *path, const char *store) {
  OmomiLiveChange change = OMOMI_LIVE_CHANGE_INIT;
  OmomiLiveOptions options = OMOMI_LIVE_OPTIONS_INIT;
  OmomiModel *model;
  OmomiSchema *schema;
  OmomiLive *live;
  pthread_t waiting;
  char empty[4200];
  snprintf(empty, sizeof empty, "%s-which-is-not", store);
  options.name = omomi_text("watched");
  EXPECT(OK, omomi_model_open(omomi_c_text(path), NULL, &model, &error));
  EXPECT(OK, omomi_schema_of_model(model, &schema, &error));
  EXPECT(OK, omomi_live_open(omomi_c_text(store), schema, &options, &live, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_watcher_open(NULL, &watcher, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_watcher_open(live, NULL, &error));
  EXPECT(OK, omomi_live_watcher_open(live, &watcher, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_watcher_next(NULL, 0, &change, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_watcher_next(watcher, 0, NULL, &error));
  change.size_bytes = 4;
  EXPECT(WRONG_SIZE, omomi_live_watcher_next(watcher, 0, &change, &error));
  change.size_bytes = sizeof change;
  EXPECT(OK, omomi_live_watcher_next(watcher, 0, &change, &error));
  CHECK(change.kind == OMOMI_LIVE_CHANGE_SWAP && change.generation == 7);
  EXPECT(OK, omomi_live_watcher_next(watcher, 0, &change, &error));
  CHECK(change.kind == OMOMI_LIVE_CHANGE_STATE && change.state == OMOMI_SERVING_STATE_SERVING);
  EXPECT(OK, omomi_live_watcher_next(watcher, 0, &change, &error));
  CHECK(change.kind == OMOMI_LIVE_CHANGE_REASON && change.reason == OMOMI_STATUS_STORE_MALFORMED);
  EXPECT(OK, omomi_live_watcher_next(watcher, 5, &change, &error));
  CHECK(change.kind == OMOMI_LIVE_CHANGE_NONE && change.size_bytes == sizeof change);
  CHECK(pthread_create(&waiting, NULL, wait_for_the_end, NULL) == 0);
  omomi_live_close(live);
  CHECK(pthread_join(waiting, NULL) == 0);
  EXPECT(CLOSED, omomi_live_watcher_next(watcher, 0, &change, &error));
  omomi_live_watcher_close(watcher);
  omomi_live_watcher_close(NULL);

  EXPECT(OK, omomi_live_open(omomi_c_text(empty), schema, &options, &live, &error));
  EXPECT(OK, omomi_live_watcher_open(live, &watcher, &error));
  EXPECT(OK, omomi_live_watcher_next(watcher, 0, &change, &error));
  CHECK(change.kind == OMOMI_LIVE_CHANGE_STATE && change.state == OMOMI_SERVING_STATE_NO_MODEL);
  EXPECT(OK, omomi_live_watcher_next(watcher, 0, &change, &error));
  CHECK(change.kind == OMOMI_LIVE_CHANGE_REASON && change.reason == OMOMI_STATUS_STORE_MISSING);
  CHECK(change.owner == OMOMI_OWNER_DELIVERY && strstr(change.text, "which-is-not") != NULL);
  omomi_live_close(live);
  omomi_live_watcher_close(watcher);
  omomi_schema_close(schema);
  omomi_model_close(model);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  the_version_is_that_of_the_library();
  texts_have_the_length_that_they_say();
  a_model_alone_is_enough_to_score(argv[1]);
  a_test_gives_the_answers_of_a_scorer();
  a_watcher_tells_what_changes(argv[1], argv[2]);
  printf("the short way\n");
  return 0;
}

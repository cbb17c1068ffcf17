/*
 * short_way WEIGHT_FILE STORE: what tools and tests use (a scorer of a model alone, a request that owns its block), texts
 * of every kind, the version, and a watcher of a live model.
 */

#include "check.h"
#include <pthread.h>

#if OMOMI_VERSION < 1000 || OMOMI_VERSION != OMOMI_VERSION_MAJOR * 1000000 + OMOMI_VERSION_MINOR * 1000 + OMOMI_VERSION_PATCH
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
  a_watcher_tells_what_changes(argv[1], argv[2]);
  printf("the short way\n");
  return 0;
}

/*
 * no_allocation FOLDER: a predict allocates nothing, even on a thread's first call, when it fails, or when it meets
 * another thread; with prepared candidates for two models within a time limit; and with a live model, after a swap,
 * without a model and switched off. This program's malloc and related functions replace those of the C library, so that
 * the library's allocations are counted, apart from those of its background threads. FOLDER has small.omomi and a store
 * that publishes it.
 */

#define _POSIX_C_SOURCE 200809L

#include "small.h"
#include <errno.h>
#include <pthread.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static int armed, allocation_count;
/* Whether the thread is one of this program, and not one that the library started. */
static __thread int is_counted;

static void note(void) {
  if (is_counted && __atomic_load_n(&armed, __ATOMIC_SEQ_CST) != 0)
    __atomic_add_fetch(&allocation_count, 1, __ATOMIC_SEQ_CST);
}

void *malloc(size_t size) {
  note();
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  note();
  return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
  note();
  return __libc_realloc(memory, size);
}

void free(void *memory) {
  note();
  __libc_free(memory);
}

void *memalign(size_t alignment, size_t size) {
  note();
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **memory, size_t alignment, size_t size) {
  *memory = memalign(alignment, size);
  return *memory == NULL ? ENOMEM : 0;
}

static void arm(void) {
  __atomic_store_n(&allocation_count, 0, __ATOMIC_SEQ_CST);
  __atomic_store_n(&armed, 1, __ATOMIC_SEQ_CST);
}

static int disarm(void) {
  __atomic_store_n(&armed, 0, __ATOMIC_SEQ_CST);
  return __atomic_load_n(&allocation_count, __ATOMIC_SEQ_CST);
}

static Small small;
static pthread_barrier_t barrier;
static int answered_count;

static void *predict_once(void *unused) {
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiStatus status;
  is_counted = 1;
  (void)unused;
  arm();
  status = omomi_request_predict(small.scorer, &small.request, SMALL_FILLED, &error);
  CHECK(disarm() == 0);
  EXPECT(OK, status);
  return NULL;
}

/* Fills, predicts and reads. One index has no candidate, and the second predict is too late. */
static void predict_prepared(void) {
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiLayoutOptions options = OMOMI_LAYOUT_OPTIONS_INIT;
  OmomiLayoutInfo info = OMOMI_LAYOUT_INFO_INIT;
  OmomiCandidateSet *set;
  OmomiLayout *layout;
  OmomiScorer *scorer;
  OmomiRequest request;
  OmomiStatus statuses[2];
  OmomiOutcome outcomes[2];
  const OmomiSlot media_id = small_slot(&small, "media_id");
  const OmomiModel *models[2];
  uint32_t index;
  models[0] = models[1] = small.model;
  options.candidate_capacity = 4;
  options.model_count = 2;
  options.candidates = OMOMI_CANDIDATES_PREPARED;
  EXPECT(OK, omomi_candidate_set_open(small.layout, 10, 4, &set, &error));
  for (index = 0; index < SMALL_FILLED; index++)
    EXPECT(OK, omomi_request_put_in_set(set, index, &small.request, index, &error));
  EXPECT(OK, omomi_layout_open_with(small.schema, &options, &layout, &error));
  EXPECT(OK, omomi_layout_info(layout, &info, &error));
  EXPECT(OK, omomi_scorer_open_with(models, 2, layout, set, &scorer, &error));
  EXPECT(OK, omomi_request_init(&request, &info, new_block(&info), info.len_bytes));
  arm();
  omomi_request_clear(&request);
  omomi_set_id(omomi_context_row(&request), media_id, 1);
  for (index = 0; index < 4; index++)
    omomi_request_set_candidate(&request, index, index);
  statuses[0] = omomi_request_predict_within(scorer, &request, 4, 60 * 1000000, &error);
  outcomes[0] = omomi_request_outcome_of(&request, 1);
  statuses[1] = omomi_request_predict_within(scorer, &request, 4, 0, &error);
  outcomes[1] = omomi_request_outcome_of(&request, 1);
  CHECK(disarm() == 0);
  EXPECT(OK, statuses[0]);
  EXPECT(OK, statuses[1]);
  CHECK(outcomes[0].scored_count == SMALL_FILLED && outcomes[0].refused_count == 1 && outcomes[1].late_count == 4);
  free(request.block);
  omomi_scorer_close(scorer);
  omomi_layout_close(layout);
  omomi_candidate_set_close(set);
}

/* Calls predict often on the shared scorer. */
static void *predict_often(void *memory) {
  OmomiRequest *request = (OmomiRequest *)memory;
  OmomiError error = OMOMI_ERROR_INIT;
  size_t round;
  is_counted = 1;
  pthread_barrier_wait(&barrier); /* started */
  pthread_barrier_wait(&barrier); /* armed */
  for (round = 0; round < 20000; round++) {
    const OmomiStatus status = omomi_request_predict(small.scorer, request, SMALL_FILLED, &error);
    CHECK(status == OMOMI_STATUS_OK || status == OMOMI_STATUS_SCORER_BUSY);
    if (status == OMOMI_STATUS_OK)
      __atomic_add_fetch(&answered_count, 1, __ATOMIC_SEQ_CST);
  }
  pthread_barrier_wait(&barrier); /* done */
  pthread_barrier_wait(&barrier); /* disarmed: a thread's end may free what its start allocated */
  return NULL;
}

static void fail_in_every_way(void) {
  OmomiError error = OMOMI_ERROR_INIT;
  unsigned char *block = small.request.block;
  const size_t len = small.info.len_bytes;
  const uint32_t used = omomi_request_tail_used_bytes(&small.request), wrong = 0xffffffff, version = 1;
  const OmomiSlot region = small_slot(&small, "region"), title = small_slot(&small, "title");
  unsigned char *region_slot = block + small.info.context_offset + 16 + 8 * region.index;
  unsigned char *title_slot = block + small.info.candidates_offset + 16 + 8 * title.index;
  OmomiStatus statuses[9];
  uint64_t kept, nowhere = UINT64_MAX;
  arm();
  statuses[0] = omomi_scorer_predict(NULL, block, len, 1, &error);
  statuses[1] = omomi_scorer_predict(small.scorer, NULL, len, 1, &error);
  statuses[2] = omomi_scorer_predict(small.scorer, block + 1, len, 1, &error);
  statuses[3] = omomi_scorer_predict(small.scorer, block, len - 8, 1, &error);
  statuses[4] = omomi_scorer_predict(small.scorer, block, len, SMALL_CANDIDATES + 1, &error);
  memcpy(block, &wrong, 4);
  statuses[5] = omomi_scorer_predict(small.scorer, block, len, 1, &error);
  memcpy(block, &version, 4);
  memcpy(block + 4, &wrong, 4);
  statuses[6] = omomi_scorer_predict(small.scorer, block, len, 1, &error);
  memcpy(block + 4, &used, 4);
  memcpy(&kept, region_slot, 8);
  memcpy(region_slot, &nowhere, 8);
  statuses[7] = omomi_scorer_predict(small.scorer, block, len, 1, &error);
  memcpy(region_slot, &kept, 8);
  memcpy(title_slot, &nowhere, 8);
  statuses[8] = omomi_scorer_predict(small.scorer, block, len, 1, &error);
  CHECK(disarm() == 0);
  EXPECT(NULL_ARGUMENT, statuses[0]);
  EXPECT(NULL_ARGUMENT, statuses[1]);
  EXPECT(MISALIGNED, statuses[2]);
  EXPECT(WRONG_SIZE, statuses[3]);
  EXPECT(TOO_MANY_CANDIDATES, statuses[4]);
  EXPECT(INVALID_ARGUMENT, statuses[5]);
  EXPECT(TAIL_FULL, statuses[6]);
  EXPECT(CONTEXT_MALFORMED, statuses[7]);
  EXPECT(OK, statuses[8]);
  CHECK(omomi_request_answer(&small.request, 0).status == OMOMI_CANDIDATE_OUTSIDE_TAIL);
}

/* Writes `control`, and makes the live model read it. */
static void decide(OmomiLive *live, const char *store, const char *decision) {
  OmomiError error = OMOMI_ERROR_INIT;
  char path[4096];
  FILE *file;
  snprintf(path, sizeof path, "%s/control", store);
  file = fopen(path, "w");
  CHECK(file != NULL && fputs(decision, file) >= 0 && fclose(file) == 0);
  EXPECT(OK, omomi_live_look_now(live, &error));
}

static OmomiStatus predict_live_once(const OmomiLiveScorer *scorer) {
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiStatus status;
  arm();
  status = omomi_request_predict_live(scorer, &small.request, SMALL_FILLED, &error);
  CHECK(disarm() == 0);
  return status;
}

/* Reading the metrics of one live model allocates nothing either. */
static void measure(const OmomiLive *live) {
  static char text[1 << 20];
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiLiveMetrics metrics = OMOMI_LIVE_METRICS_INIT;
  OmomiStatus statuses[2];
  size_t len;
  arm();
  statuses[0] = omomi_live_metrics(live, &metrics, &error);
  statuses[1] = omomi_live_prometheus(&live, 1, text, sizeof text, &len, &error);
  CHECK(disarm() == 0);
  EXPECT(OK, statuses[0]);
  EXPECT(OK, statuses[1]);
  CHECK(metrics.prediction_count == 3 && metrics.off_count == 1 && len > 1000);
}

static void predict_live(const char *folder) {
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiLiveOptions options = OMOMI_LIVE_OPTIONS_INIT;
  OmomiLive *lives[2];
  OmomiLiveScorer *scorers[2];
  char dirs[2][4096];
  size_t index;
  options.poll_interval_ms = 3600 * 1000;
  snprintf(dirs[0], sizeof dirs[0], "%s/store", folder);
  snprintf(dirs[1], sizeof dirs[1], "%s/no-store", folder);
  for (index = 0; index < 2; index++) {
    EXPECT(OK, omomi_live_open(omomi_c_text(dirs[index]), small.schema, &options, &lives[index], &error));
    EXPECT(OK, omomi_live_scorer_open(lives[index], small.layout, NULL, &scorers[index], &error));
    /* Look again, so that the thread has finished its deferred work. */
    EXPECT(OK, omomi_live_look_now(lives[index], &error));
  }
  EXPECT(OK, predict_live_once(scorers[0]));
  EXPECT(NO_MODEL, predict_live_once(scorers[1]));
  decide(lives[0], dirs[0], "off\n");
  EXPECT(SWITCHED_OFF, predict_live_once(scorers[0]));
  decide(lives[0], dirs[0], "on pin 000008\n");
  EXPECT(OK, predict_live_once(scorers[0]));
  CHECK(omomi_request_outcome(&small.request).generation == 8);
  EXPECT(OK, predict_live_once(scorers[0]));
  measure(lives[0]);
  for (index = 0; index < 2; index++) {
    omomi_live_scorer_close(scorers[index]);
    omomi_live_close(lives[index]);
  }
}

/* Predictions, details of every request, events, a full ring and careless calls. */
static void record_what_was_served(const char *folder) {
  char path[4096];
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiServingLogOptions options = OMOMI_SERVING_LOG_OPTIONS_INIT;
  OmomiServingLog *served_log;
  OmomiLogRing *ring;
  OmomiServed served = OMOMI_SERVED_INIT;
  OmomiRecorded recorded;
  unsigned char id[OMOMI_PREDICTION_ID_LEN_BYTES];
  size_t round, queued_count = 0, failed_count = 0;
  snprintf(path, sizeof path, "%s/served", folder);
  options.details_per_million = 1000000;
  options.ring_len_bytes = 65536;
  EXPECT(OK, omomi_serving_log_open(omomi_c_text(path), &options, &served_log, &error));
  EXPECT(OK, omomi_log_ring_of_scorer(served_log, small.scorer, &ring, &error));
  served.request_id = omomi_text("5f0c7d5e-8f0c-4a53-a6d0-9d0e3a1c2b4f");
  small_fill(&small, &small.request);
  EXPECT(OK, omomi_request_predict(small.scorer, &small.request, SMALL_FILLED, &error));
  arm();
  for (round = 0; round < 2000; round++) {
    failed_count += omomi_log_record(ring, small.request.block, small.info.len_bytes, round % SMALL_FILLED, &served,
                                     &recorded, &error) != OMOMI_STATUS_OK;
    queued_count += recorded == OMOMI_RECORDED_QUEUED;
    failed_count += omomi_prediction_id(served.request_id, omomi_text(""), 1, id, &error) != OMOMI_STATUS_OK;
    failed_count += omomi_log_event(ring, id, OMOMI_EVENT_CLICK, 0, NULL, NULL, &error) != OMOMI_STATUS_OK;
    failed_count -= omomi_log_record(ring, small.request.block, small.info.len_bytes, SMALL_CANDIDATES, &served, NULL,
                                     &error) == OMOMI_STATUS_RECORD_INVALID;
    failed_count++;
  }
  CHECK(disarm() == 0);
  CHECK(failed_count == 0 && queued_count > 100);
  omomi_log_ring_close(ring);
  omomi_serving_log_close(served_log);
}

int main(int argc, char **argv) {
  char path[4096];
  OmomiRequest requests[2];
  pthread_t threads[2];
  size_t index;
  void *volatile memory; /* so that no compiler leaves the pair of calls out */
  CHECK(argc == 2);
  is_counted = 1;
  snprintf(path, sizeof path, "%s/small.omomi", argv[1]);
  arm();
  memory = malloc(1);
  free(memory);
  CHECK(disarm() == 2);
  arm();
  small = small_open(path);
  CHECK(disarm() > 10);

  predict_once(NULL);
  omomi_scorer_hand_over(small.scorer);
  CHECK(pthread_create(&threads[0], NULL, predict_once, NULL) == 0);
  CHECK(pthread_join(threads[0], NULL) == 0);
  omomi_scorer_hand_over(small.scorer);
  predict_prepared();
  fail_in_every_way();
  predict_live(argv[1]);
  record_what_was_served(argv[1]);

  /* The first of them to predict becomes the owner, and the other is refused. */
  omomi_scorer_hand_over(small.scorer);
  CHECK(pthread_barrier_init(&barrier, NULL, 3) == 0);
  for (index = 0; index < 2; index++) {
    requests[index] = small_request(&small);
    CHECK(pthread_create(&threads[index], NULL, predict_often, &requests[index]) == 0);
  }
  pthread_barrier_wait(&barrier);
  arm();
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  CHECK(disarm() == 0);
  pthread_barrier_wait(&barrier);
  for (index = 0; index < 2; index++)
    CHECK(pthread_join(threads[index], NULL) == 0);
  CHECK(answered_count > 0);
  printf("0 allocations\n");
  return 0;
}

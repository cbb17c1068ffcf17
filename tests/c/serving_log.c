/*
 * serving_log FOLDER VECTORS: records predictions of a scorer and of a live scorer, details and events in FOLDER/served,
 * makes every careless call, and compares prediction ids and samples with the vector file that every implementation
 * reads. Prints the bits of each recorded logit. FOLDER has small.omomi and a store that publishes it.
 */

#define _POSIX_C_SOURCE 200809L

#include "small.h"
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static OmomiError error = OMOMI_ERROR_INIT;
static Small small;
static char folder[4096], path[4200];
static OmomiServingLog *served_log;
static OmomiLogRing *ring;

static OmomiText inside(const char *name) {
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return omomi_c_text(path);
}

static OmomiServed served_as(const char *request_id) {
  OmomiServed served = OMOMI_SERVED_INIT;
  served.request_id = omomi_c_text(request_id);
  return served;
}

static OmomiStatus record(OmomiRequest *request, size_t candidate, const OmomiServed *served, OmomiRecorded *recorded) {
  return omomi_log_record(ring, request->block, small.info.len_bytes, candidate, served, recorded, &error);
}

static void print_logit(const char *request_id, const OmomiRequest *request, size_t candidate) {
  const double logit = omomi_request_answer(request, candidate).logit;
  uint64_t bits;
  memcpy(&bits, &logit, sizeof bits);
  printf("%s %d %016" PRIx64 "\n", request_id, (int)candidate, bits);
}

static void record_predictions(OmomiRequest *request, const char *request_id) {
  OmomiServed served = served_as(request_id);
  OmomiRecorded recorded = 99;
  size_t candidate;
  served.impression = omomi_text("imp");
  served.experiment = omomi_text("bids");
  served.arm = omomi_text("b");
  served.bucket = 3;
  served.at_unix_ms = 1700000000000;
  served.bid.micros = 1500000;
  served.bid.basis = OMOMI_BASIS_THOUSAND_IMPRESSIONS;
  memcpy(served.bid.currency, "JPY", 4);
  served.latency_ns = 12345;
  served.propensity = 0.5;
  for (candidate = 0; candidate < SMALL_FILLED; candidate++) {
    served.position = (uint32_t)candidate;
    EXPECT(OK, record(request, candidate, &served, &recorded));
    CHECK(recorded == OMOMI_RECORDED_QUEUED);
    print_logit(request_id, request, candidate);
  }
}

static void record_events(void) {
  static const OmomiEventKind kinds[] = {OMOMI_EVENT_WIN, OMOMI_EVENT_IMPRESSION, OMOMI_EVENT_CLICK,
                                         OMOMI_EVENT_CONVERSION};
  unsigned char id[OMOMI_PREDICTION_ID_LEN_BYTES];
  OmomiMoney price = OMOMI_MONEY_INIT;
  OmomiLogRing *events;
  size_t index;
  EXPECT(OK, omomi_prediction_id(omomi_text("request-1"), omomi_text("imp"), 0, id, &error));
  EXPECT(OK, omomi_log_ring_of_events(served_log, &events, &error));
  price.micros = 120;
  price.basis = OMOMI_BASIS_IMPRESSION;
  memcpy(price.currency, "USD", 4);
  for (index = 0; index < 4; index++)
    EXPECT(OK, omomi_log_event(events, id, kinds[index], 17, index == 0 ? &price : NULL, NULL, &error));
  EXPECT_SAYING(RECORD_INVALID, "the ring of a scorer",
                omomi_log_record(events, small.request.block, small.info.len_bytes, 0, NULL, NULL, &error));
  omomi_log_ring_close(events);
}

static void *record_on_another_thread(void *unused) {
  OmomiServed served = served_as("request-2");
  (void)unused;
  EXPECT(SCORER_BUSY, record(&small.request, 0, &served, NULL));
  return NULL;
}

static void survive_careless_calls(void) {
  OmomiServed served = served_as("request-2");
  OmomiRequest empty = small_request(&small);
  OmomiServingLogOptions options = OMOMI_SERVING_LOG_OPTIONS_INIT;
  OmomiServingLog *other = NULL;
  OmomiRecorded recorded = 99;
  OmomiLogRing *no_ring = NULL;
  unsigned char id[OMOMI_PREDICTION_ID_LEN_BYTES] = {0};
  OmomiMoney money = OMOMI_MONEY_INIT;
  pthread_t thread;
  EXPECT(NULL_ARGUMENT, omomi_log_record(NULL, small.request.block, small.info.len_bytes, 0, &served, NULL, &error));
  EXPECT(NULL_ARGUMENT, omomi_log_record(ring, NULL, small.info.len_bytes, 0, &served, NULL, &error));
  EXPECT(NULL_ARGUMENT, record(&small.request, 0, NULL, NULL));
  EXPECT(WRONG_SIZE, omomi_log_record(ring, small.request.block, 8, 0, &served, NULL, &error));
  EXPECT_SAYING(RECORD_INVALID, "candidate that the model scored", record(&empty, 0, &served, &recorded));
  EXPECT(RECORD_INVALID, record(&small.request, SMALL_FILLED, &served, NULL));
  EXPECT(RECORD_INVALID, record(&small.request, SIZE_MAX, &served, NULL));
  CHECK(recorded == 99);
  served.source = 0;
  EXPECT_SAYING(RECORD_INVALID, "OMOMI_SOURCE_", record(&small.request, 0, &served, NULL));
  served = served_as("");
  EXPECT_SAYING(RECORD_INVALID, "request id", record(&small.request, 0, &served, NULL));
  served.request_id = omomi_text_of(NULL, 7);
  EXPECT(NULL_ARGUMENT, record(&small.request, 0, &served, NULL));
  served.request_id = omomi_text("a\xff");
  EXPECT(NOT_UTF8, record(&small.request, 0, &served, NULL));
  served = served_as("request-2");
  served.bid.basis = 9;
  EXPECT_SAYING(RECORD_INVALID, "OMOMI_BASIS_", record(&small.request, 0, &served, NULL));
  served.bid.basis = OMOMI_BASIS_CLICK;
  EXPECT_SAYING(RECORD_INVALID, "currency", record(&small.request, 0, &served, NULL));
  served = served_as("request-2");
  served.model_index = 1;
  EXPECT(RECORD_INVALID, record(&small.request, 0, &served, NULL));
  served = served_as("request-2");
  served.size_bytes--;
  EXPECT(WRONG_SIZE, record(&small.request, 0, &served, NULL));
  EXPECT(NULL_ARGUMENT, omomi_log_event(ring, NULL, OMOMI_EVENT_WIN, 0, NULL, NULL, &error));
  EXPECT_SAYING(RECORD_INVALID, "OMOMI_EVENT_", omomi_log_event(ring, id, 0, 0, NULL, NULL, &error));
  money.basis = OMOMI_BASIS_IMPRESSION;
  EXPECT(RECORD_INVALID, omomi_log_event(ring, id, OMOMI_EVENT_WIN, 0, &money, NULL, &error));
  CHECK(pthread_create(&thread, NULL, record_on_another_thread, NULL) == 0);
  CHECK(pthread_join(thread, NULL) == 0);

  EXPECT(NULL_ARGUMENT, omomi_serving_log_open(omomi_text_of(NULL, 0), NULL, &other, &error));
  EXPECT(FILE, omomi_serving_log_open(inside("no/such/folder"), NULL, &other, &error));
  EXPECT(FILE, omomi_serving_log_open(inside("small.omomi"), NULL, &other, &error));
  EXPECT(NULL_ARGUMENT, omomi_serving_log_open(inside("served"), NULL, NULL, &error));
  options.sync = 2;
  EXPECT_SAYING(INVALID_ARGUMENT, "options->sync: expected 0 or 1",
                omomi_serving_log_open(inside("served"), &options, &other, &error));
  options.sync = 0;
  options.ring_len_bytes = UINT64_MAX;
  EXPECT_SAYING(INVALID_ARGUMENT, "ring", omomi_serving_log_open(inside("served"), &options, &other, &error));
  options.ring_len_bytes = 4096;
  options.details_per_million = 1000001;
  EXPECT(INVALID_ARGUMENT, omomi_serving_log_open(inside("served"), &options, &other, &error));
  EXPECT(NULL_ARGUMENT, omomi_log_ring_of_scorer(NULL, small.scorer, &no_ring, &error));
  EXPECT(NULL_ARGUMENT, omomi_log_ring_of_scorer(served_log, NULL, &no_ring, &error));
  EXPECT(NULL_ARGUMENT, omomi_log_ring_of_live_scorer(served_log, NULL, &no_ring, &error));
  EXPECT(NULL_ARGUMENT, omomi_log_ring_of_events(served_log, NULL, &error));
  EXPECT(NULL_ARGUMENT, omomi_serving_log_metrics(served_log, NULL, &error));
  EXPECT(RECORD_INVALID, omomi_prediction_id(omomi_text(""), omomi_text(""), 0, id, &error));
  EXPECT(NULL_ARGUMENT, omomi_prediction_id(omomi_text("1"), omomi_text(""), 0, NULL, &error));
  CHECK(other == NULL && no_ring == NULL);
  omomi_serving_log_close(NULL);
  omomi_log_ring_close(NULL);
  omomi_log_ring_hand_over(NULL);
  free(empty.block);
}

static void records_of_a_fork_are_dropped(void) {
  int status;
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    OmomiServed served = served_as("fork");
    OmomiServingLogMetrics metrics = OMOMI_SERVING_LOG_METRICS_INIT;
    OmomiRecorded recorded = 99;
    alarm(60);
    EXPECT(OK, record(&small.request, 0, &served, &recorded));
    CHECK(recorded == OMOMI_RECORDED_DROPPED_CLOSED);
    EXPECT(FORKED, omomi_serving_log_metrics(served_log, &metrics, &error));
    omomi_log_ring_close(ring);
    omomi_serving_log_close(served_log);
    /* Ends without valgrind's search for leaks: a fork cannot free what the absent thread uses. */
    raise(SIGKILL);
  }
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void read_metrics(void) {
  OmomiServingLogMetrics metrics = OMOMI_SERVING_LOG_METRICS_INIT;
  uint32_t is_done = 0;
  char *page;
  size_t len = 0, index;
  uint64_t dropped = 0;
  EXPECT(OK, omomi_serving_log_flush(served_log, 60000, &is_done, &error));
  EXPECT(OK, omomi_serving_log_metrics(served_log, &metrics, &error));
  for (index = 0; index < OMOMI_DROP_REASON_COUNT; index++)
    dropped += metrics.dropped_counts[index];
  CHECK(is_done == 1 && metrics.is_writing == 1 && metrics.written_bytes > 0);
  CHECK(dropped == metrics.dropped_counts[OMOMI_RECORDED_DROPPED_INVALID - OMOMI_RECORDED_DROPPED]);
  CHECK(dropped > 0 && metrics.written_count == 2 * SMALL_FILLED + 2 + 4 && metrics.oldest_waiting_ns == 0);
  EXPECT(OK, omomi_serving_log_prometheus(served_log, NULL, 0, &len, &error));
  page = (char *)malloc(2 * len);
  CHECK(page != NULL);
  EXPECT(WRONG_SIZE, omomi_serving_log_prometheus(served_log, page, len, &len, &error));
  EXPECT(OK, omomi_serving_log_prometheus(served_log, page, 2 * len, &len, &error));
  CHECK(strlen(page) == len && strstr(page, "omomi_log_records_total{log=\"served\"} 12\n") != NULL);
  free(page);
}

static size_t bytes_of(const char *hex, char *bytes) {
  size_t len = 0;
  for (; strcmp(hex, "-") != 0 && hex[2 * len] != 0; len++) {
    unsigned byte;
    CHECK(sscanf(hex + 2 * len, "%2x", &byte) == 1);
    bytes[len] = (char)(unsigned char)byte;
  }
  return len;
}

static void compare_vectors(const char *name) {
  char line[4096], *columns[5], texts[2][512];
  FILE *file = fopen(name, "r");
  size_t counts[2] = {0, 0};
  CHECK(file != NULL);
  while (fgets(line, sizeof line, file) != NULL) {
    size_t count = 0, lens[2];
    char *word = strtok(line, "\t\n");
    if (line[0] == '#')
      continue;
    for (; word != NULL; word = strtok(NULL, "\t\n")) {
      CHECK(count < 5);
      columns[count++] = word;
    }
    lens[0] = bytes_of(columns[1], texts[0]);
    if (strcmp(columns[0], "id") == 0) {
      unsigned char id[OMOMI_PREDICTION_ID_LEN_BYTES];
      char hex[2 * OMOMI_PREDICTION_ID_LEN_BYTES + 1];
      size_t index;
      lens[1] = bytes_of(columns[2], texts[1]);
      EXPECT(OK, omomi_prediction_id(omomi_text_of(texts[0], lens[0]), omomi_text_of(texts[1], lens[1]),
                                     (uint32_t)strtoul(columns[3], NULL, 10), id, &error));
      for (index = 0; index < sizeof id; index++)
        snprintf(hex + 2 * index, 3, "%02x", id[index]);
      CHECK(count == 5 && strcmp(hex, columns[4]) == 0);
      counts[0]++;
    } else {
      uint32_t place;
      EXPECT(OK, omomi_sample_place(strtoull(columns[2], NULL, 10), omomi_text_of(texts[0], lens[0]), &place, &error));
      CHECK(count == 4 && place == strtoul(columns[3], NULL, 10));
      counts[1]++;
    }
  }
  CHECK(counts[0] >= 200 && counts[1] >= 600);
  fclose(file);
}

int main(int argc, char **argv) {
  OmomiServingLogOptions options = OMOMI_SERVING_LOG_OPTIONS_INIT;
  OmomiLiveOptions live_options = OMOMI_LIVE_OPTIONS_INIT;
  OmomiLive *live;
  OmomiLiveScorer *live_scorer;
  CHECK(argc == 3);
  snprintf(folder, sizeof folder, "%s", argv[1]);
  small = small_open(inside("small.omomi").text);
  EXPECT(OK, omomi_request_predict(small.scorer, &small.request, SMALL_FILLED, &error));
  options.details_per_million = 1000000;
  EXPECT(OK, omomi_serving_log_open(inside("served"), &options, &served_log, &error));
  EXPECT(OK, omomi_log_ring_of_scorer(served_log, small.scorer, &ring, &error));
  record_predictions(&small.request, "request-1");
  record_events();
  survive_careless_calls();
  records_of_a_fork_are_dropped();
  omomi_log_ring_close(ring);

  live_options.poll_interval_ms = 3600 * 1000;
  EXPECT(OK, omomi_live_open(inside("store"), small.schema, &live_options, &live, &error));
  EXPECT(OK, omomi_live_scorer_open(live, small.layout, NULL, &live_scorer, &error));
  EXPECT(OK, omomi_log_ring_of_live_scorer(served_log, live_scorer, &ring, &error));
  EXPECT(OK, omomi_request_predict_live(live_scorer, &small.request, SMALL_FILLED, &error));
  record_predictions(&small.request, "request-3");
  omomi_live_scorer_close(live_scorer);
  omomi_live_close(live);
  read_metrics();
  omomi_serving_log_close(served_log);
  {
    OmomiServed served = served_as("late");
    OmomiRecorded recorded = 99;
    EXPECT(OK, record(&small.request, 0, &served, &recorded));
    CHECK(recorded == OMOMI_RECORDED_DROPPED_CLOSED);
  }
  omomi_log_ring_close(ring);
  small_close(&small);
  compare_vectors(argv[2]);
  return 0;
}

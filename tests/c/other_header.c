/*
 * other_header WEIGHT_FILE STORE: a client that was compiled with another release's header. The test compiles it with
 * one whose structs are shorter, and, with -DNEWER, with one that has a member `later` in each. Prints what it found.
 */

#include "check.h"

#define INIT(name) memset(&name, 0, sizeof name), name.size_bytes = sizeof name
#ifdef NEWER
#define SET_LATER(name, value) name.later = value
#define CHECK_LATER(name) CHECK(name.later == 0)
#else
#define SET_LATER(name, value) (void)0
#define CHECK_LATER(name) (void)0
#endif

int main(int argc, char **argv) {
  OmomiField fields[3];
  OmomiOpenOptions open_options;
  OmomiModelInfo info;
  OmomiLayoutOptions layout_options;
  OmomiLiveOptions live_options;
  OmomiLiveStatus status;
  OmomiLiveMetrics metrics;
  OmomiExplanation explanation;
  OmomiError error;
  OmomiModel *model;
  OmomiSchema *schema, *declared;
  OmomiLayout *layout;
  OmomiScorer *scorer;
  OmomiRequest request;
  OmomiLive *live;
  OmomiSlot slot;
  size_t index;
  CHECK(argc == 3);
  INIT(error);
  INIT(open_options);
  EXPECT(OK, omomi_model_open(omomi_c_text(argv[1]), &open_options, &model, &error));

  memset(&info, 0x7f, sizeof info);
  info.size_bytes = sizeof info;
  EXPECT(OK, omomi_model_info(model, &info, &error));
  CHECK(info.generation == 7 && info.size_bytes == sizeof info);
  CHECK_LATER(info);

  for (index = 0; index < 3; index++) {
    fields[index] = omomi_id_field(omomi_c_text(index == 0 ? "a" : index == 1 ? "b" : "c"), OMOMI_SIDE_CONTEXT);
    CHECK(fields[index].size_bytes == sizeof fields[0]);
  }
  EXPECT(OK, omomi_schema_open(fields, 3, &declared, &error));
  EXPECT(OK, omomi_schema_slot(declared, omomi_text("c"), &slot, &error));
  CHECK(slot.index == 2);
  fields[1].size_bytes = 8;
  EXPECT_SAYING(WRONG_SIZE, "a field", omomi_schema_open(fields, 3, &schema, &error));

  EXPECT(OK, omomi_schema_of_model(model, &schema, &error));
  INIT(layout_options);
  layout_options.candidate_capacity = 5;
  layout_options.tail_len_bytes = 4096;
#ifdef NEWER
  layout_options.model_count = 1;
#endif
  EXPECT(OK, omomi_layout_open_with(schema, &layout_options, &layout, &error));
  EXPECT(OK, omomi_scorer_open(model, layout, &scorer, &error));
  EXPECT(OK, omomi_request_open(layout, &request, &error));
  (void)omomi_candidate_row(&request, 0);
  EXPECT(OK, omomi_request_predict(scorer, &request, OMOMI_ALL_FILLED, &error));
  memset(&explanation, 0x7f, sizeof explanation);
  explanation.size_bytes = sizeof explanation;
  EXPECT(OK, omomi_scorer_explain(scorer, request.block, request.layout.len_bytes, 0, &explanation, NULL, 0, &error));
  CHECK(explanation.contribution_count < 1000);
  CHECK_LATER(explanation);

  INIT(live_options);
#ifdef NEWER
  {
    const OmomiLiveOptions defaults = OMOMI_LIVE_OPTIONS_INIT;
    live_options = defaults;
    CHECK(live_options.size_bytes == sizeof live_options);
  }
#endif
  live_options.name = omomi_text("other");
  live_options.load_mode = OMOMI_LOAD_MODE_COPY;
  live_options.poll_interval_ms = 1000;
  live_options.max_file_len_bytes = live_options.memory_budget_bytes = UINT64_MAX;
  EXPECT(OK, omomi_live_open(omomi_c_text(argv[2]), schema, &live_options, &live, &error));
  memset(&status, 0x7f, sizeof status);
  status.size_bytes = sizeof status;
  EXPECT(OK, omomi_live_status(live, &status, &error));
  CHECK(status.state == OMOMI_SERVING_STATE_SERVING);
  CHECK_LATER(status);
  memset(&metrics, 0x7f, sizeof metrics);
  metrics.size_bytes = sizeof metrics;
  EXPECT(OK, omomi_live_metrics(live, &metrics, &error));
  CHECK(metrics.prediction_count == 0);
  CHECK_LATER(metrics);
  omomi_live_close(live);

#ifdef NEWER
  SET_LATER(open_options, 1);
  EXPECT_SAYING(ABI_MISMATCH, "of which this library knows 16", omomi_model_open(omomi_c_text(argv[1]), &open_options,
                                                                                 &model, &error));
  SET_LATER(live_options, 1);
  EXPECT(ABI_MISMATCH, omomi_live_open(omomi_c_text(argv[2]), schema, &live_options, &live, &error));
  SET_LATER(layout_options, 1);
  EXPECT(ABI_MISMATCH, omomi_layout_open_with(schema, &layout_options, &layout, &error));
#endif
  /* The message is cut to the room that this header has for it. */
  {
    static char long_path[5000];
    memset(long_path, 'x', sizeof long_path);
    EXPECT(FILE, omomi_model_open(omomi_text_of(long_path, sizeof long_path), NULL, &model, &error));
    CHECK(strlen(error.message) < sizeof error.message && strncmp(error.message, "cannot open xxx", 15) == 0);
    CHECK(strstr(error.message, "xxx ... xxx") != NULL && strstr(error.message, "too long") != NULL);
  }
  /* Sizes that no header has. */
  INIT(info);
  info.size_bytes = 12;
  EXPECT(WRONG_SIZE, omomi_model_info(model, &info, &error));
  info.size_bytes = 0;
  EXPECT(WRONG_SIZE, omomi_model_info(model, &info, &error));
  info.size_bytes = 1 << 20;
  EXPECT(WRONG_SIZE, omomi_model_info(model, &info, &error));
  omomi_request_close(&request);
  omomi_scorer_close(scorer);
  omomi_layout_close(layout);
  omomi_schema_close(schema);
  omomi_schema_close(declared);
  omomi_model_close(model);
  printf("error of %u bytes, options of %u bytes\n", (unsigned)sizeof error, (unsigned)sizeof live_options);
  return 0;
}

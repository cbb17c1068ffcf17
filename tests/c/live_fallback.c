/*
 * live_fallback DIR FALLBACK: serves from a store without a model, with a fallback file. Prints the logic id, the
 * generation and the bits of the logits of the fallback.
 */

#include "small.h"

int main(int argc, char **argv) {
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiLiveOptions options = OMOMI_LIVE_OPTIONS_INIT;
  OmomiLive *live = NULL, *without = NULL;
  OmomiLiveScorer *scorer = NULL, *other = NULL;
  OmomiLiveMetrics metrics = OMOMI_LIVE_METRICS_INIT;
  Small small;
  char logic_id[32];
  size_t len = 0, index;
  CHECK(argc == 3);
  small = small_open(argv[2]);
  options.name = omomi_text("c-client");
  EXPECT(OK, omomi_live_open(omomi_c_text(argv[1]), small.schema, &options, &without, &error));
  options.name = omomi_text("c-client-with-fallback");
  options.fallback_file = omomi_text("no-such-file.omomi");
  EXPECT(FILE, omomi_live_open(omomi_c_text(argv[1]), small.schema, &options, &live, &error));
  options.fallback_file = omomi_c_text(argv[2]);
  EXPECT(OK, omomi_live_open(omomi_c_text(argv[1]), small.schema, &options, &live, &error));
  EXPECT(OK, omomi_live_scorer_open(live, small.layout, NULL, &scorer, &error));
  EXPECT(OK, omomi_live_scorer_open(without, small.layout, NULL, &other, &error));

  EXPECT(NO_MODEL, omomi_request_predict_live(scorer, &small.request, SMALL_FILLED, &error));
  EXPECT(NO_MODEL, omomi_live_scorer_predict_fallback(other, small.request.block, small.info.len_bytes, SMALL_FILLED,
                                                      &error));
  EXPECT(NO_MODEL, omomi_live_fallback_logic_id(without, logic_id, sizeof logic_id, &len, &error));
  EXPECT(NULL_ARGUMENT, omomi_live_scorer_predict_fallback(NULL, small.request.block, small.info.len_bytes,
                                                           SMALL_FILLED, &error));
  EXPECT(OK, omomi_request_predict_live_fallback(scorer, &small.request, SMALL_FILLED, &error));
  EXPECT(OK, omomi_live_metrics(live, &metrics, &error));
  CHECK(metrics.fallback_count == 1 && metrics.prediction_count == 0 && metrics.no_model_count == 1);
  EXPECT(OK, omomi_live_metrics(without, &metrics, &error));
  CHECK(metrics.fallback_count == 0);
  EXPECT(OK, omomi_live_fallback_logic_id(live, logic_id, sizeof logic_id, &len, &error));
  printf("%s %u", logic_id, (unsigned)omomi_request_outcome(&small.request).generation);
  for (index = 0; index < SMALL_FILLED; index++) {
    const OmomiAnswer answer = omomi_request_answer(&small.request, index);
    uint64_t bits;
    memcpy(&bits, &answer.logit, sizeof bits);
    printf(" %08x%08x", (unsigned)(bits >> 32), (unsigned)bits);
  }
  printf("\n");
  omomi_live_scorer_close(scorer);
  omomi_live_scorer_close(other);
  omomi_live_close(live);
  omomi_live_close(without);
  small_close(&small);
  return 0;
}

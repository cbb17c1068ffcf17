/* A scorer and a filled request for the small model of the tests. */

#ifndef OMOMI_TESTS_SMALL_H
#define OMOMI_TESTS_SMALL_H

#include "check.h"

enum { SMALL_CANDIDATES = 20, SMALL_FILLED = 3, SMALL_TAIL_LEN_BYTES = 65536 };

typedef struct {
  OmomiModel *model;
  OmomiSchema *schema;
  OmomiLayout *layout;
  OmomiScorer *scorer;
  OmomiLayoutInfo info;
  OmomiRequest request;
} Small;

static inline OmomiSlot small_slot(const Small *small, const char *name) {
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiSlot slot;
  EXPECT(OK, omomi_schema_slot(small->schema, omomi_c_text(name), &slot, &error));
  return slot;
}

/* Fills context and three candidates, like small_model::full_rows. */
static inline void small_fill(const Small *small, OmomiRequest *request) {
  OmomiError error = OMOMI_ERROR_INIT;
  const OmomiText interests[] = {{"\xe6\x97\x85\xe8\xa1\x8c", 6}, {"", 0}, {"news", 4}};
  const OmomiRow context = omomi_context_row(request);
  size_t index;
  omomi_request_clear(request);
  EXPECT(OK, omomi_set_id(context, small_slot(small, "media_id"), INT64_MIN));
  EXPECT(OK, omomi_set_texts(context, small_slot(small, "interest"), interests, 3));
  EXPECT(OK, omomi_set_number(context, small_slot(small, "floor_price"), 50.0));
  EXPECT(OK, omomi_set_text(context, small_slot(small, "region"), omomi_text("\xe6\x9d\xb1\xe4\xba\xac")));
  for (index = 0; index < SMALL_FILLED; index++) {
    const OmomiRow row = omomi_candidate_row(request, index);
    const int64_t tags[] = {(int64_t)index % 3, 100 + (int64_t)index % 5};
    EXPECT(OK, omomi_set_id(row, small_slot(small, "creative_id"), (int64_t)index));
    EXPECT(OK, omomi_set_text(row, small_slot(small, "title"), omomi_text("a title")));
    EXPECT(OK, omomi_set_ids(row, small_slot(small, "tag"), tags, 2));
    EXPECT(OK, omomi_set_number(row, small_slot(small, "age_seconds"), 1.5 * (double)index));
  }
}

static inline OmomiRequest small_request(const Small *small) {
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiRequest request;
  EXPECT(OK, omomi_request_init(&request, &small->info, new_block(&small->info), small->info.len_bytes));
  small_fill(small, &request);
  return request;
}

static inline Small small_open(const char *path) {
  OmomiError error = OMOMI_ERROR_INIT;
  Small small;
  EXPECT(OK, omomi_model_open(omomi_c_text(path), NULL, &small.model, &error));
  EXPECT(OK, omomi_schema_of_model(small.model, &small.schema, &error));
  EXPECT(OK, omomi_layout_open(small.schema, SMALL_CANDIDATES, SMALL_TAIL_LEN_BYTES, &small.layout, &error));
  small.info.size_bytes = sizeof small.info;
  EXPECT(OK, omomi_layout_info(small.layout, &small.info, &error));
  EXPECT(OK, omomi_scorer_open(small.model, small.layout, &small.scorer, &error));
  small.request = small_request(&small);
  return small;
}

static inline void small_close(Small *small) {
  free(small->request.block);
  /* Close the model first: the scorer keeps what it needs of it. */
  omomi_model_close(small->model);
  omomi_schema_close(small->schema);
  omomi_layout_close(small->layout);
  omomi_scorer_close(small->scorer);
}

#endif

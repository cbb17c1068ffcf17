/* example WEIGHT_FILE: opens a weight file and ranks three creatives for one user. */

#include <omomi.h>
#include <stdio.h>
#include <stdlib.h>

static OmomiError error = OMOMI_ERROR_INIT;

/* For start-up: prints who must act, and ends the program. */
static void check(OmomiStatus status) {
  if (status != OMOMI_STATUS_OK) {
    fprintf(stderr, "%s (for %s)\n", error.message, omomi_owner_name(error.owner));
    exit(1);
  }
}

static OmomiSlot slot(const OmomiSchema *schema, const char *name) {
  OmomiSlot slot;
  check(omomi_schema_slot(schema, name, strlen(name), &slot, &error));
  return slot;
}

int main(int argc, char **argv) {
  if (argc != 2)
    return 2;

  /* Once, when the server starts: the fields that it can supply, valid for every later model. */
  const OmomiField fields[] = {
      omomi_id_field("media_id", OMOMI_SIDE_CONTEXT),
      omomi_text_field("region", OMOMI_SIDE_CONTEXT),
      omomi_many(omomi_text_field("interest", OMOMI_SIDE_CONTEXT)),
      omomi_number_field("floor_price", OMOMI_SIDE_CONTEXT, "JPY per 1,000 impressions", 0.0, 1000.0),
      omomi_id_field("creative_id", OMOMI_SIDE_CANDIDATE),
      omomi_text_field("title", OMOMI_SIDE_CANDIDATE),
      omomi_many(omomi_id_field("tag", OMOMI_SIDE_CANDIDATE)),
      omomi_number_field("age_seconds", OMOMI_SIDE_CANDIDATE, "s", 0.0, 1e9),
  };
  OmomiSchema *schema;
  OmomiLayout *layout;
  OmomiOffsets offsets = OMOMI_OFFSETS_INIT;
  check(omomi_schema_open(fields, sizeof fields / sizeof fields[0], &schema, &error));
  check(omomi_layout_open(schema, 500, 64 * 1024, &layout, &error));
  check(omomi_layout_offsets(layout, &offsets, &error));
  const OmomiSlot media_id = slot(schema, "media_id"), region = slot(schema, "region");
  const OmomiSlot interest = slot(schema, "interest"), floor_price = slot(schema, "floor_price");
  const OmomiSlot creative_id = slot(schema, "creative_id");

  /* For each generation: every byte is verified before anything is scored. */
  OmomiModel *model;
  check(omomi_model_open(argv[1], strlen(argv[1]), NULL, &model, &error));

  /* For each thread. */
  OmomiScorer *scorer;
  OmomiRequest request;
  void *block = malloc(offsets.len_bytes);
  check(omomi_scorer_open(model, layout, &scorer, &error));
  check(omomi_request_init(&request, &offsets, block, offsets.len_bytes));

  /* For each request: allocates nothing and never waits. Fields that are not set are missing. */
  const int64_t creatives[] = {4001, 4002, 4003};
  const OmomiText interests[] = {{"travel", 6}, {"news", 4}};
  omomi_request_clear(&request);
  const OmomiRow context = omomi_context_row(&request);
  omomi_set_id(context, media_id, 17);
  omomi_set_text(context, region, "tokyo", 5);
  omomi_set_texts(context, interest, interests, 2);
  omomi_set_number(context, floor_price, 50.0);
  for (size_t index = 0; index < 3; index++)
    omomi_set_id(omomi_candidate_row(&request, index), creative_id, creatives[index]);
  check(omomi_request_predict(scorer, &request, 3, &error));
  for (size_t index = 0; index < 3; index++) {
    const OmomiAnswer answer = omomi_request_answer(&request, index);
    if (answer.status == OMOMI_CANDIDATE_SCORED)
      printf("creative %lld: probability %.4f\n", (long long)creatives[index], answer.probability);
  }

  omomi_scorer_close(scorer);
  omomi_model_close(model);
  omomi_layout_close(layout);
  omomi_schema_close(schema);
  free(block);
  return 0;
}

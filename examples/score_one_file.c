/* score_one_file WEIGHT_FILE: opens a weight file and ranks three creatives for one user. */

#include "generated_ctr.h" /* made by: omomi contract generate --c examples/generated-ctr.toml */
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

int main(int argc, char **argv) {
  if (argc != 2)
    return 2;

  /* Once, when the server starts: the fields that it can supply, valid for every later model. */
  OmomiSchema *schema;
  OmomiLayout *layout;
  GeneratedCtr ad;
  check(generated_ctr_open(&schema, &ad, &error));
  check(omomi_layout_open(schema, 500, 64 * 1024, &layout, &error));

  /* For each generation: every byte is verified before anything is scored. */
  OmomiModel *model;
  check(omomi_model_open(omomi_c_text(argv[1]), NULL, &model, &error));

  /* For each thread. */
  OmomiScorer *scorer;
  OmomiRequest request;
  check(omomi_scorer_open(model, layout, &scorer, &error));
  check(omomi_request_open(layout, &request, &error));

  /* For each request: allocates nothing and never waits. Fields that are not set are missing. */
  const int64_t creatives[] = {1624, 2519, 4001};
  const OmomiText interests[] = {omomi_text("旅行"), omomi_text("料理")};
  omomi_request_clear(&request);
  const OmomiRow context = omomi_context_row(&request);
  omomi_set_id(context, ad.site_id, 7);
  omomi_set_text(context, ad.region, omomi_text("東京都"));
  omomi_set_texts(context, ad.interest, interests, 2);
  omomi_set_number(context, ad.floor_price, 50.0);
  for (size_t index = 0; index < 3; index++)
    omomi_set_id(omomi_candidate_row(&request, index), ad.creative_id, creatives[index]);
  check(omomi_request_predict(scorer, &request, 3, &error));
  for (size_t index = 0; index < 3; index++) {
    const OmomiAnswer answer = omomi_request_answer(&request, index);
    if (answer.status == OMOMI_CANDIDATE_SCORED)
      printf("creative %lld: probability %.4f\n", (long long)creatives[index], answer.probability);
  }

  omomi_request_close(&request);
  omomi_scorer_close(scorer);
  omomi_model_close(model);
  omomi_layout_close(layout);
  omomi_schema_close(schema);
  return 0;
}

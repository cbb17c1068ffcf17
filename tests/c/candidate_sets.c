/*
 * candidate_sets FOLDER: prepared candidates, several models and time limits from C. No matter what a caller passes,
 * the process continues, the error says what was wrong, and a bad candidate fails alone. FOLDER has small.omomi.
 */

#include "small.h"
#include <math.h>
#include <pthread.h>

enum { SET_CAPACITY = 8, VALUES_PER_FIELD = 2, LATE_CANDIDATES = 3000 };

static OmomiError error = OMOMI_ERROR_INIT;
static Small small;
static OmomiCandidateSet *set;
static OmomiLayout *prepared_layout;
static OmomiLayoutInfo prepared_info = OMOMI_LAYOUT_INFO_INIT;
static OmomiScorer *prepared_scorer;

static OmomiRequest new_request(const OmomiLayoutInfo *info) {
  OmomiRequest request;
  EXPECT(OK, omomi_request_init(&request, info, new_block(info), info->len_bytes));
  return request;
}

/* Fills the context like `small_fill`, for requests without candidate rows. */
static void fill_context(OmomiRequest *request) {
  const OmomiText interests[] = {{"\xe6\x97\x85\xe8\xa1\x8c", 6}, {"", 0}, {"news", 4}};
  const OmomiRow context = omomi_context_row(request);
  omomi_request_clear(request);
  EXPECT(OK, omomi_set_id(context, small_slot(&small, "media_id"), INT64_MIN));
  EXPECT(OK, omomi_set_texts(context, small_slot(&small, "interest"), interests, 3));
  EXPECT(OK, omomi_set_number(context, small_slot(&small, "floor_price"), 50.0));
  EXPECT(OK, omomi_set_text(context, small_slot(&small, "region"), omomi_text("\xe6\x9d\xb1\xe4\xba\xac")));
}

static int same(OmomiAnswer left, OmomiAnswer right) { return memcmp(&left, &right, sizeof left) == 0; }

static void open_prepared(void) {
  OmomiLayoutOptions options = OMOMI_LAYOUT_OPTIONS_INIT;
  const OmomiModel *models[2];
  uint32_t index, expected;
  size_t count;
  models[0] = models[1] = small.model;
  options.candidate_capacity = SMALL_CANDIDATES;
  options.tail_len_bytes = 1024;
  options.model_count = 2;
  options.candidates = OMOMI_CANDIDATES_PREPARED;
  EXPECT(OK, omomi_layout_open_with(small.schema, &options, &prepared_layout, &error));
  EXPECT(OK, omomi_layout_info(prepared_layout, &prepared_info, &error));
  CHECK(prepared_info.model_count == 2 && prepared_info.candidates == OMOMI_CANDIDATES_PREPARED);
  CHECK(small.info.model_count == 1 && small.info.candidates == OMOMI_CANDIDATES_INLINE);
  EXPECT(OK, omomi_candidate_set_open(small.layout, SET_CAPACITY, VALUES_PER_FIELD, &set, &error));
  EXPECT(OK, omomi_scorer_open_with(models, 2, prepared_layout, set, &prepared_scorer, &error));
  for (expected = 0; expected < SMALL_FILLED; expected++) {
    EXPECT(OK, omomi_request_add_to_set(set, &small.request, expected, &index, &error));
    CHECK(index == expected);
  }
  EXPECT(OK, omomi_candidate_set_count(set, &count, &error));
  CHECK(count == SMALL_FILLED);
}

static void prepared_candidates_get_the_answers_of_their_rows_and_a_gap_fails_alone(void) {
  const uint32_t named[] = {2, 7, UINT32_MAX, 0, 2};
  OmomiRequest request = new_request(&prepared_info);
  OmomiExplanation explanation = OMOMI_EXPLANATION_INIT;
  size_t index, model, count;
  uint32_t removed = 9, added;
  EXPECT(OK, omomi_request_predict(small.scorer, &small.request, SMALL_FILLED, &error));
  fill_context(&request);
  /* One by one, and then, with the same answers, in one call. */
  for (index = 0; index < 5; index++)
    EXPECT(OK, omomi_request_set_candidate(&request, index, named[index]));
  EXPECT(OK, omomi_request_predict(prepared_scorer, &request, 5, &error));
  CHECK(omomi_request_answer(&request, 1).status != OMOMI_CANDIDATE_SCORED);
  omomi_request_clear(&request);
  fill_context(&request);
  EXPECT(OK, omomi_request_set_candidates(&request, named, 5));
  CHECK(omomi_request_filled_count(&request) == 5);
  EXPECT(OK, omomi_request_predict(prepared_scorer, &request, OMOMI_ALL_FILLED, &error));
  for (model = 0; model < 2; model++) {
    const OmomiOutcome outcome = omomi_request_outcome_of(&request, model);
    CHECK(outcome.generation == 7 && outcome.scored_count == 3 && outcome.refused_count == 2);
    for (index = 0; index < 5; index++) {
      const OmomiAnswer answer = omomi_request_answer_of(&request, model, index);
      if (named[index] < SMALL_FILLED)
        CHECK(same(answer, omomi_request_answer(&small.request, named[index])));
      else
        CHECK(answer.status == OMOMI_CANDIDATE_NO_CANDIDATE && isnan(answer.probability) && isnan(answer.logit));
    }
  }
  EXPECT(OK, omomi_scorer_explain(prepared_scorer, request.block, request.layout.len_bytes, 3, &explanation, NULL, 0,
                                  &error));
  CHECK(memcmp(&explanation.logit, &request.block[prepared_info.results_offset + sizeof(OmomiOutcome) + 3 * 16],
               8) == 0);

  EXPECT(OK, omomi_request_put_in_set(set, 7, &small.request, 1, &error));
  EXPECT(OK, omomi_candidate_set_remove(set, 2, &removed, &error));
  CHECK(removed == 1);
  EXPECT(OK, omomi_candidate_set_remove(set, 2, &removed, &error));
  CHECK(removed == 0);
  EXPECT(OK, omomi_request_predict(prepared_scorer, &request, 5, &error));
  CHECK(same(omomi_request_answer(&request, 1), omomi_request_answer(&small.request, 1)));
  CHECK(omomi_request_answer(&request, 0).status == OMOMI_CANDIDATE_NO_CANDIDATE);
  EXPECT(OK, omomi_request_add_to_set(set, &small.request, 2, &added, &error));
  CHECK(added == 2); /* the lowest that is free */
  EXPECT(OK, omomi_candidate_set_remove(set, 7, NULL, &error));
  EXPECT(OK, omomi_candidate_set_count(set, &count, &error));
  CHECK(count == SMALL_FILLED);
  free(request.block);
}

static void a_candidate_that_was_not_named_is_not_scored(void) {
  OmomiRequest request = new_request(&prepared_info);
  size_t index;
  fill_context(&request);
  for (index = 0; index < 4; index++)
    EXPECT(OK, omomi_request_set_candidate(&request, index, 0));
  EXPECT(OK, omomi_request_predict(prepared_scorer, &request, OMOMI_ALL_FILLED, &error));
  CHECK(omomi_request_answered_count(&request) == 4);
  fill_context(&request);
  EXPECT(OK, omomi_request_set_candidate(&request, 2, 1));
  EXPECT(OK, omomi_request_predict(prepared_scorer, &request, 4, &error));
  for (index = 0; index < 4; index++)
    CHECK(omomi_request_answer(&request, index).status ==
          (index == 2 ? OMOMI_CANDIDATE_SCORED : OMOMI_CANDIDATE_NOT_FILLED));
  CHECK(omomi_request_outcome(&request).refused_count == 3);
  free(request.block);
}

static void an_impossible_layout_or_scorer_is_refused(void) {
  OmomiLayoutOptions options = OMOMI_LAYOUT_OPTIONS_INIT;
  OmomiLayout *layout = NULL;
  OmomiScorer *scorer = NULL;
  OmomiSchema *schema;
  const OmomiField field = omomi_id_field(omomi_text("media_id"), OMOMI_SIDE_CONTEXT);
  const OmomiModel *models[2];
  models[0] = small.model;
  models[1] = NULL;
  EXPECT_SAYING(INVALID_ARGUMENT, "found 0", omomi_layout_open_with(small.schema, &options, &layout, &error));
  options.candidate_capacity = 4;
  options.candidates = 2;
  EXPECT_SAYING(INVALID_ARGUMENT, "OMOMI_CANDIDATES_PREPARED, found 2",
                omomi_layout_open_with(small.schema, &options, &layout, &error));
  options.candidates = OMOMI_CANDIDATES_PREPARED;
  options.model_count = 17;
  EXPECT_SAYING(INVALID_ARGUMENT, "1 to 16 models", omomi_layout_open_with(small.schema, &options, &layout, &error));
  options.model_count = 0;
  EXPECT(INVALID_ARGUMENT, omomi_layout_open_with(small.schema, &options, &layout, &error));
  options.model_count = 1;
  EXPECT(NULL_ARGUMENT, omomi_layout_open_with(NULL, &options, &layout, &error));
  EXPECT(NULL_ARGUMENT, omomi_layout_open_with(small.schema, &options, NULL, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "options", omomi_layout_open_with(small.schema, NULL, &layout, &error));
  options.size_bytes--;
  EXPECT(WRONG_SIZE, omomi_layout_open_with(small.schema, &options, &layout, &error));
  CHECK(layout == NULL);

  EXPECT_SAYING(NULL_ARGUMENT, "an element of models",
                omomi_scorer_open_with(models, 2, prepared_layout, set, &scorer, &error));
  models[1] = small.model;
  EXPECT_SAYING(INVALID_ARGUMENT, "the layout expects 2, found 1",
                omomi_scorer_open_with(models, 1, prepared_layout, set, &scorer, &error));
  EXPECT(INVALID_ARGUMENT, omomi_scorer_open_with(models, (size_t)-1, prepared_layout, set, &scorer, &error));
  EXPECT(INVALID_ARGUMENT, omomi_scorer_open_with(NULL, 0, prepared_layout, set, &scorer, &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_open_with(NULL, 2, prepared_layout, set, &scorer, &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_open_with(models, 2, NULL, set, &scorer, &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_open_with(models, 2, prepared_layout, set, NULL, &error));
  EXPECT_SAYING(INVALID_ARGUMENT, "no candidate set was given",
                omomi_scorer_open_with(models, 2, prepared_layout, NULL, &scorer, &error));
  EXPECT_SAYING(INVALID_ARGUMENT, "a candidate set was given",
                omomi_scorer_open_with(models, 1, small.layout, set, &scorer, &error));
  EXPECT_SAYING(INVALID_ARGUMENT, "it is for 2 models", omomi_scorer_open(small.model, prepared_layout, &scorer,
                                                                          &error));
  EXPECT(OK, omomi_schema_open(&field, 1, &schema, &error));
  options.size_bytes = sizeof options;
  EXPECT(OK, omomi_layout_open_with(schema, &options, &layout, &error));
  EXPECT_SAYING(INVALID_ARGUMENT, "not that of the candidate set",
                omomi_scorer_open_with(models, 1, layout, set, &scorer, &error));
  CHECK(scorer == NULL);
  omomi_layout_close(layout);
  omomi_schema_close(schema);
}

static void careless_use_of_a_set_is_refused_and_leaves_it_unchanged(void) {
  const uint32_t indices[SMALL_CANDIDATES + 1] = {0};
  OmomiCandidateSet *other = NULL;
  OmomiRequest request = small_request(&small), named = new_request(&prepared_info);
  const OmomiSlot tag = small_slot(&small, "tag"), title = small_slot(&small, "title");
  const int64_t tags[] = {1, 2, 3};
  unsigned char *block = request.block;
  const size_t len = small.info.len_bytes;
  uint32_t index = 77, removed = 77;
  size_t count;
  EXPECT_SAYING(INVALID_ARGUMENT, "its candidates are indices",
                omomi_candidate_set_open(prepared_layout, 1, 0, &other, &error));
  EXPECT(INVALID_ARGUMENT, omomi_candidate_set_open(small.layout, 0, 0, &other, &error));
  EXPECT(INVALID_ARGUMENT, omomi_candidate_set_open(small.layout, (size_t)-1, 0, &other, &error));
  EXPECT(INVALID_ARGUMENT, omomi_candidate_set_open(small.layout, 1, 1025, &other, &error));
  EXPECT(NULL_ARGUMENT, omomi_candidate_set_open(NULL, 1, 0, &other, &error));
  EXPECT(NULL_ARGUMENT, omomi_candidate_set_open(small.layout, 1, 0, NULL, &error));
  CHECK(other == NULL);
  omomi_candidate_set_close(NULL);

  EXPECT_SAYING(NULL_ARGUMENT, "set is null", omomi_candidate_set_add(NULL, block, len, 0, &index, &error));
  EXPECT(NULL_ARGUMENT, omomi_candidate_set_add(set, NULL, len, 0, &index, &error));
  EXPECT(NULL_ARGUMENT, omomi_candidate_set_add(set, block, len, 0, NULL, &error));
  EXPECT(MISALIGNED, omomi_candidate_set_add(set, block + 1, len, 0, &index, &error));
  EXPECT(WRONG_SIZE, omomi_candidate_set_add(set, block, len - 8, 0, &index, &error));
  EXPECT(WRONG_SIZE, omomi_request_add_to_set(set, &named, 0, &index, &error));
  EXPECT(TOO_MANY_CANDIDATES, omomi_request_add_to_set(set, &request, SMALL_CANDIDATES, &index, &error));
  EXPECT(TOO_MANY_CANDIDATES, omomi_request_add_to_set(set, &request, (size_t)-1, &index, &error));
  EXPECT(NULL_ARGUMENT, omomi_candidate_set_put(NULL, 0, block, len, 0, &error));
  EXPECT(NULL_ARGUMENT, omomi_candidate_set_put(set, 0, NULL, len, 0, &error));
  EXPECT(MISALIGNED, omomi_candidate_set_put(set, 0, block + 4, len, 0, &error));
  EXPECT(WRONG_SIZE, omomi_candidate_set_put(set, 0, block, 0, 0, &error));
  EXPECT(TOO_MANY_CANDIDATES, omomi_candidate_set_put(set, 0, block, len, SMALL_CANDIDATES, &error));
  EXPECT_SAYING(INVALID_ARGUMENT, "capacity of 8, found 8",
                omomi_request_put_in_set(set, SET_CAPACITY, &request, 0, &error));
  EXPECT(INVALID_ARGUMENT, omomi_request_put_in_set(set, UINT32_MAX, &request, 0, &error));
  EXPECT(INVALID_ARGUMENT, omomi_candidate_set_remove(set, SET_CAPACITY, &removed, &error));
  EXPECT(NULL_ARGUMENT, omomi_candidate_set_remove(NULL, 0, &removed, &error));
  EXPECT(NULL_ARGUMENT, omomi_candidate_set_count(NULL, &count, &error));
  EXPECT(NULL_ARGUMENT, omomi_candidate_set_count(set, NULL, &error));
  EXPECT(OK, omomi_set_ids(omomi_candidate_row(&request, 0), tag, tags, 3));
  EXPECT_SAYING(INVALID_ARGUMENT, "field `tag`", omomi_request_add_to_set(set, &request, 0, &index, &error));
  EXPECT(OK, omomi_set_text(omomi_candidate_row(&request, 0), title, omomi_text("\xff")));
  EXPECT_SAYING(INVALID_ARGUMENT, "field `title`", omomi_request_put_in_set(set, 0, &request, 0, &error));
  CHECK(index == 77 && removed == 77);
  for (count = SMALL_FILLED; count < SET_CAPACITY; count++)
    EXPECT(OK, omomi_request_add_to_set(set, &request, 1, &index, &error));
  EXPECT_SAYING(TOO_MANY_CANDIDATES, "the candidate set is full: it has room for 8",
                omomi_request_add_to_set(set, &request, 1, &index, &error));
  EXPECT_SAYING(INVALID_ARGUMENT, "was not filled",
                omomi_request_put_in_set(set, 0, &request, SMALL_FILLED, &error));
  CHECK(index == SET_CAPACITY - 1);

  EXPECT(TOO_MANY_CANDIDATES, omomi_request_set_candidate(&named, SMALL_CANDIDATES, 0));
  EXPECT(TOO_MANY_CANDIDATES, omomi_request_set_candidates(&named, indices, SMALL_CANDIDATES + 1));
  EXPECT(NULL_ARGUMENT, omomi_request_set_candidates(&named, NULL, 1));
  EXPECT(OK, omomi_request_set_candidates(&named, NULL, 0));
  EXPECT(INVALID_ARGUMENT, omomi_request_set_candidates(&request, indices, 1));
  EXPECT(INVALID_ARGUMENT, omomi_request_set_candidate(&request, 0, 0));
  EXPECT(INVALID_ARGUMENT, omomi_set_ids(omomi_candidate_row(&named, 0), tag, tags, 1));
  free(named.block);
  free(block);
}

static void misuse_of_predict_within_is_a_status_and_writes_no_answer(void) {
  OmomiRequest request = small_request(&small);
  unsigned char *block = request.block, *before = (unsigned char *)new_block(&small.info);
  const size_t len = small.info.len_bytes;
  memcpy(before, block, len);
  EXPECT(NULL_ARGUMENT, omomi_scorer_predict_within(NULL, block, len, 1, 9, &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_predict_within(small.scorer, NULL, len, 1, 9, &error));
  EXPECT(MISALIGNED, omomi_scorer_predict_within(small.scorer, block + 1, len, 1, 9, &error));
  EXPECT(WRONG_SIZE, omomi_scorer_predict_within(small.scorer, block, len - 8, 1, 9, &error));
  EXPECT(TOO_MANY_CANDIDATES, omomi_scorer_predict_within(small.scorer, block, len, SMALL_CANDIDATES + 1, 9, &error));
  CHECK(memcmp(before, block, len) == 0 && omomi_request_answered_count(&request) == 0);
  EXPECT(OK, omomi_request_predict_within(small.scorer, &request, SMALL_FILLED, UINT64_MAX, &error));
  CHECK(omomi_request_outcome(&request).scored_count == SMALL_FILLED);
  free(before);
  free(block);
}

static void candidates_not_reached_in_time_are_late_and_none_is_half_scored(void) {
  const uint64_t budgets_us[] = {0, 1, 50, 500, UINT64_MAX};
  OmomiLayout *layout;
  OmomiLayoutInfo info = OMOMI_LAYOUT_INFO_INIT;
  OmomiScorer *scorer;
  OmomiRequest request;
  OmomiAnswer *expected = (OmomiAnswer *)malloc(LATE_CANDIDATES * sizeof *expected);
  size_t index, budget;
  EXPECT(OK, omomi_layout_open(small.schema, LATE_CANDIDATES, 1024, &layout, &error));
  EXPECT(OK, omomi_layout_info(layout, &info, &error));
  EXPECT(OK, omomi_scorer_open(small.model, layout, &scorer, &error));
  request = new_request(&info);
  for (index = 0; index < LATE_CANDIDATES; index++)
    EXPECT(OK, omomi_set_id(omomi_candidate_row(&request, index), small_slot(&small, "creative_id"), (int64_t)index));
  EXPECT(OK, omomi_request_predict(scorer, &request, LATE_CANDIDATES, &error));
  for (index = 0; index < LATE_CANDIDATES; index++)
    expected[index] = omomi_request_answer(&request, index);
  for (budget = 0; budget < sizeof budgets_us / sizeof budgets_us[0]; budget++) {
    OmomiOutcome outcome;
    EXPECT(OK, omomi_request_predict_within(scorer, &request, LATE_CANDIDATES, budgets_us[budget], &error));
    outcome = omomi_request_outcome(&request);
    CHECK(outcome.scored_count + outcome.late_count == LATE_CANDIDATES);
    CHECK(budgets_us[budget] != 0 || outcome.scored_count == 0);
    CHECK(budgets_us[budget] != UINT64_MAX || outcome.late_count == 0);
    for (index = 0; index < LATE_CANDIDATES; index++) {
      const OmomiAnswer answer = omomi_request_answer(&request, index);
      if (index < outcome.scored_count)
        CHECK(same(answer, expected[index]));
      else
        CHECK(answer.status == OMOMI_CANDIDATE_LATE && isnan(answer.probability) && isnan(answer.logit));
    }
  }
  free(expected);
  free(request.block);
  omomi_scorer_close(scorer);
  omomi_layout_close(layout);
}

static OmomiAnswer known[2];
static int done;

static void *score_often(void *unused) {
  OmomiError thread_error = OMOMI_ERROR_INIT;
  OmomiScorer *scorer;
  OmomiRequest request = new_request(&prepared_info);
  const OmomiModel *models[2];
  size_t scored_count = 0;
  models[0] = models[1] = small.model;
  (void)unused;
  CHECK(omomi_scorer_open_with(models, 2, prepared_layout, set, &scorer, &thread_error) == OMOMI_STATUS_OK);
  fill_context(&request);
  CHECK(omomi_request_set_candidate(&request, 0, 0) == OMOMI_STATUS_OK);
  while (scored_count == 0 || __atomic_load_n(&done, __ATOMIC_SEQ_CST) == 0) {
    OmomiAnswer answer;
    CHECK(omomi_request_predict(scorer, &request, 1, &thread_error) == OMOMI_STATUS_OK);
    answer = omomi_request_answer_of(&request, 1, 0);
    if (answer.status == OMOMI_CANDIDATE_SCORED) {
      CHECK(same(answer, known[0]) || same(answer, known[1]));
      scored_count++;
    } else {
      CHECK(answer.status == OMOMI_CANDIDATE_NO_CANDIDATE);
    }
  }
  omomi_scorer_close(scorer);
  free(request.block);
  return NULL;
}

static void threads_score_while_another_replaces_and_removes(void) {
  pthread_t threads[2];
  size_t index;
  EXPECT(OK, omomi_request_predict(small.scorer, &small.request, 2, &error));
  for (index = 0; index < 2; index++)
    known[index] = omomi_request_answer(&small.request, index);
  CHECK(!same(known[0], known[1]));
  EXPECT(OK, omomi_request_put_in_set(set, 0, &small.request, 0, &error));
  for (index = 0; index < 2; index++)
    CHECK(pthread_create(&threads[index], NULL, score_often, NULL) == 0);
  for (index = 0; index < 5000; index++) {
    if (index % 7 == 0)
      EXPECT(OK, omomi_candidate_set_remove(set, 0, NULL, &error));
    EXPECT(OK, omomi_request_put_in_set(set, 0, &small.request, index % 2, &error));
  }
  __atomic_store_n(&done, 1, __ATOMIC_SEQ_CST);
  for (index = 0; index < 2; index++)
    CHECK(pthread_join(threads[index], NULL) == 0);
}

static void a_scorer_outlives_its_set(void) {
  OmomiRequest request = new_request(&prepared_info);
  fill_context(&request);
  omomi_candidate_set_close(set);
  omomi_layout_close(prepared_layout);
  EXPECT(OK, omomi_request_set_candidate(&request, 0, 0));
  EXPECT(OK, omomi_request_predict(prepared_scorer, &request, 1, &error));
  CHECK(omomi_request_outcome_of(&request, 1).scored_count == 1);
  omomi_scorer_close(prepared_scorer);
  free(request.block);
}

int main(int argc, char **argv) {
  char path[4096];
  CHECK(argc == 2);
  snprintf(path, sizeof path, "%s/small.omomi", argv[1]);
  small = small_open(path);
  open_prepared();
  prepared_candidates_get_the_answers_of_their_rows_and_a_gap_fails_alone();
  a_candidate_that_was_not_named_is_not_scored();
  an_impossible_layout_or_scorer_is_refused();
  careless_use_of_a_set_is_refused_and_leaves_it_unchanged();
  misuse_of_predict_within_is_a_status_and_writes_no_answer();
  candidates_not_reached_in_time_are_late_and_none_is_half_scored();
  threads_score_while_another_replaces_and_removes();
  a_scorer_outlives_its_set();
  small_close(&small);
  printf("every call on a candidate set was answered\n");
  return 0;
}

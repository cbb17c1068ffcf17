/*
 * careless_calls FOLDER: no matter what a caller passes, the process continues, the error says what was wrong, and a
 * bad candidate fails alone. Has the cases of tests/scoring/careless_calls.rs. FOLDER has small.omomi and broken files.
 */

#include "small.h"
#include <math.h>
#include <pthread.h>

static OmomiError error = OMOMI_ERROR_INIT;
static Small small;

static void statuses_have_names_owners_and_actions(void) {
  CHECK(strcmp(omomi_status_name(OMOMI_STATUS_OK), "ok") == 0);
  CHECK(strcmp(omomi_status_name(OMOMI_STATUS_DAMAGED), "damaged") == 0);
  CHECK(strncmp(omomi_status_action(OMOMI_STATUS_DAMAGED), "copy the file again; ", 21) == 0);
  CHECK(omomi_status_owner(OMOMI_STATUS_DAMAGED) == OMOMI_OWNER_INFRA);
  CHECK(strcmp(omomi_owner_name(OMOMI_OWNER_INFRA), "infra") == 0);
  CHECK(strcmp(omomi_owner_name(77), "none") == 0);
  CHECK(strcmp(omomi_status_name(-5), "unknown") == 0 && strcmp(omomi_status_action(12345), "") == 0);
  CHECK(omomi_status_owner(12345) == OMOMI_OWNER_NONE);
  CHECK(strchr(omomi_version(), '.') != NULL);
}

static void null_and_zeroed_rows_in_inline_functions_are_a_status(void) {
  const OmomiSlot slots[] = {{OMOMI_SIDE_CONTEXT, 0, OMOMI_KIND_ID, 0}, {OMOMI_SIDE_CANDIDATE, 0, OMOMI_KIND_TEXT, 1}};
  const int64_t ids[] = {1};
  const uint64_t values[] = {1};
  const OmomiText texts[] = {{"x", 1}};
  OmomiRow rows[3];
  uint32_t index = 77;
  size_t row, slot;
  memset(&rows[0], 0, sizeof rows[0]);
  rows[1] = omomi_context_row(NULL);
  rows[2] = omomi_candidate_row(NULL, 0);
  for (row = 0; row < 3; row++) {
    for (slot = 0; slot < 2; slot++) {
      EXPECT(NULL_ARGUMENT, omomi_set_id(rows[row], slots[slot], 1));
      EXPECT(NULL_ARGUMENT, omomi_set_number(rows[row], slots[slot], 1.0));
      EXPECT(NULL_ARGUMENT, omomi_set_text(rows[row], slots[slot], "x", 1));
      EXPECT(NULL_ARGUMENT, omomi_set_text_value(rows[row], slots[slot], 1));
      EXPECT(NULL_ARGUMENT, omomi_set_ids(rows[row], slots[slot], ids, 1));
      EXPECT(NULL_ARGUMENT, omomi_set_texts(rows[row], slots[slot], texts, 1));
      EXPECT(NULL_ARGUMENT, omomi_set_text_values(rows[row], slots[slot], values, 1));
    }
  }
  EXPECT(NULL_ARGUMENT, omomi_request_set_candidate(NULL, 0, 0));
  omomi_request_clear(NULL);
  CHECK(omomi_request_tail_used_bytes(NULL) == 0 && omomi_request_outcome(NULL).scored_count == 0);
  CHECK(isnan(omomi_request_answer(NULL, 3).probability) && isnan(omomi_request_answer(NULL, 3).logit));
  CHECK(omomi_request_answer(NULL, 3).status == OMOMI_CANDIDATE_NO_CANDIDATE);
  EXPECT_SAYING(NULL_ARGUMENT, "block is null", omomi_request_predict(small.scorer, NULL, 1, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "block is null", omomi_request_predict_within(small.scorer, NULL, 1, 5, &error));
  EXPECT(NULL_ARGUMENT, omomi_request_predict_live(NULL, NULL, 1, &error));
  EXPECT(NULL_ARGUMENT, omomi_request_predict_live_within(NULL, NULL, 1, 5, &error));
  EXPECT(NULL_ARGUMENT, omomi_request_add_to_set(NULL, NULL, 0, &index, &error));
  EXPECT(NULL_ARGUMENT, omomi_request_put_in_set(NULL, 0, NULL, 0, &error));
  CHECK(index == 77);
}

static void a_panic_is_a_status_and_the_process_continues(void) {
  EXPECT_SAYING(PANIC, "a test asked for this panic", omomi_test_panic(&error));
  EXPECT(PANIC, omomi_test_panic(NULL));
}

static void an_error_struct_of_another_size_is_refused_and_left_alone(void) {
  OmomiError other = OMOMI_ERROR_INIT;
  other.size_bytes = 16;
  other.message[0] = 'x';
  EXPECT(WRONG_SIZE, omomi_scorer_predict(NULL, NULL, 0, 0, &other));
  CHECK(other.status == OMOMI_STATUS_OK && other.message[0] == 'x');
}

static void files_that_are_not_weight_files_are_refused(const char *folder) {
  static const struct {
    const char *name;
    OmomiStatus status;
    const char *text;
  } files[] = {
      {"absent.omomi", OMOMI_STATUS_FILE, "cannot open"},
      {"", OMOMI_STATUS_FILE, "not a regular file"},
      {"text.omomi", OMOMI_STATUS_NOT_A_WEIGHT_FILE, "not a weight file"},
      {"empty.omomi", OMOMI_STATUS_TRUNCATED, "found 0"},
      {"truncated.omomi", OMOMI_STATUS_TRUNCATED, "truncated"},
      {"longer.omomi", OMOMI_STATUS_TOO_LONG, "too long"},
      {"damaged.omomi", OMOMI_STATUS_DAMAGED, "expected the checksum"},
  };
  OmomiModel *const untouched = (OmomiModel *)&small;
  OmomiOpenOptions options = OMOMI_OPEN_OPTIONS_INIT;
  size_t index, mode;
  for (index = 0; index < sizeof files / sizeof files[0]; index++) {
    for (mode = 0; mode < 2; mode++) {
      char path[4096];
      OmomiModel *model = untouched;
      OmomiStatus status;
      snprintf(path, sizeof path, "%s/%s", folder, files[index].name);
      options.load_mode = (OmomiLoadMode)mode;
      status = omomi_model_open(path, strlen(path), &options, &model, &error);
      if (status != files[index].status || strstr(error.message, files[index].text) == NULL) {
        fprintf(stderr, "%s: found %s: %s\n", path, omomi_status_name(status), error.message);
        exit(1);
      }
      CHECK(model == untouched);
    }
  }
}

static void careless_opening_is_a_status(const char *path) {
  OmomiOpenOptions options = OMOMI_OPEN_OPTIONS_INIT;
  OmomiModel *model = NULL;
  const size_t len = strlen(path);
  EXPECT_SAYING(NULL_ARGUMENT, "path is null", omomi_model_open(NULL, 5, NULL, &model, &error));
  EXPECT(NULL_ARGUMENT, omomi_model_open(NULL, 0, NULL, &model, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "out_model is null", omomi_model_open(path, len, NULL, NULL, &error));
  EXPECT(FILE, omomi_model_open("a\0b", 3, NULL, &model, &error));
  EXPECT_SAYING(NOT_UTF8, "first bad byte is at 1", omomi_model_open("a\xff", 2, NULL, &model, &error));
  EXPECT(INVALID_ARGUMENT, omomi_model_open(path, (size_t)-1, NULL, &model, &error));
  options.load_mode = 7;
  EXPECT_SAYING(INVALID_ARGUMENT, "found 7", omomi_model_open(path, len, &options, &model, &error));
  options.size_bytes = 4;
  EXPECT_SAYING(WRONG_SIZE, "found 4", omomi_model_open(path, len, &options, &model, &error));
  CHECK(model == NULL);
  omomi_model_close(NULL);
  omomi_schema_close(NULL);
  omomi_layout_close(NULL);
  omomi_scorer_close(NULL);
}

static void texts_of_a_model_fit_the_buffer_or_the_call_fails(void) {
  OmomiModelInfo info = OMOMI_MODEL_INFO_INIT;
  char text[9] = "unchanged"; /* without its null byte, which C99 allows and C++ does not */
  char *json;
  size_t len = 77;
  EXPECT(OK, omomi_model_info(small.model, &info, &error));
  CHECK(info.generation == 7 && info.weight_count > 10 && info.bias == -2.25 && info.contract_fingerprint != 0);
  info.size_bytes--;
  EXPECT(WRONG_SIZE, omomi_model_info(small.model, &info, &error));
  EXPECT(NULL_ARGUMENT, omomi_model_info(NULL, &info, &error));
  EXPECT(NULL_ARGUMENT, omomi_model_info(small.model, NULL, &error));

  EXPECT_SAYING(WRONG_SIZE, "expected 9 bytes, found 8", omomi_model_logic_id(small.model, text, 8, &len, &error));
  CHECK(len == 77 && memcmp(text, "unchanged", 9) == 0);
  EXPECT(OK, omomi_model_logic_id(small.model, text, 9, &len, &error));
  CHECK(len == 8 && strcmp(text, "small-v1") == 0);
  EXPECT(NULL_ARGUMENT, omomi_model_logic_id(NULL, text, 9, &len, &error));
  EXPECT(NULL_ARGUMENT, omomi_model_logic_id(small.model, NULL, 9, &len, &error));
  EXPECT(NULL_ARGUMENT, omomi_model_logic_id(small.model, text, 9, NULL, &error));

  EXPECT(OK, omomi_model_contract_json(small.model, NULL, 0, &len, &error));
  json = (char *)malloc(len + 1);
  EXPECT(OK, omomi_model_contract_json(small.model, json, len + 1, &len, &error));
  CHECK(strlen(json) == len && strstr(json, "\"floor_price\"") != NULL);
  EXPECT(NULL_ARGUMENT, omomi_model_contract_json(NULL, NULL, 0, &len, &error));
  free(json);
}

static OmomiStatus declare(const OmomiField *fields, size_t count) {
  OmomiSchema *schema = NULL;
  const OmomiStatus status = omomi_schema_open(fields, count, &schema, &error);
  CHECK((schema != NULL) == (status == OMOMI_STATUS_OK));
  omomi_schema_close(schema);
  return status;
}

static void an_invalid_declaration_is_refused(void) {
  OmomiSchema *schema;
  OmomiSlot slot;
  OmomiField fields[65];
  size_t index;
  for (index = 0; index < 2; index++)
    fields[index] = omomi_id_field("a", OMOMI_SIDE_CONTEXT);
  EXPECT(OK, declare(fields, 1));
  EXPECT(OK, declare(NULL, 0));
  EXPECT_SAYING(SCHEMA_INVALID, "the field `a` is declared twice", declare(fields, 2));
  EXPECT_SAYING(SCHEMA_INVALID, "found 4294967295", declare(fields, 0xffffffff));
  EXPECT(NULL_ARGUMENT, declare(NULL, 2));
  EXPECT_SAYING(NULL_ARGUMENT, "out_schema", omomi_schema_open(fields, 1, NULL, &error));
  EXPECT(NULL_ARGUMENT, omomi_schema_of_model(NULL, &schema, &error));
  EXPECT(NULL_ARGUMENT, omomi_schema_of_model(small.model, NULL, &error));

  fields[0].size_bytes = 8;
  EXPECT(WRONG_SIZE, declare(fields, 1));
  fields[0] = omomi_id_field("a", 2);
  EXPECT_SAYING(INVALID_ARGUMENT, "field `a`, found 2", declare(fields, 1));
  fields[0] = omomi_id_field("a", OMOMI_SIDE_CONTEXT);
  fields[0].kind = 3;
  EXPECT(INVALID_ARGUMENT, declare(fields, 1));
  fields[0] = omomi_id_field("a", OMOMI_SIDE_CONTEXT);
  fields[0].many = 2;
  EXPECT(INVALID_ARGUMENT, declare(fields, 1));
  fields[0] = omomi_id_field(NULL, OMOMI_SIDE_CONTEXT);
  EXPECT_SAYING(SCHEMA_INVALID, "a field has no name", declare(fields, 1));
  fields[0].name_len_bytes = 3;
  EXPECT(NULL_ARGUMENT, declare(fields, 1));
  fields[0] = omomi_id_field("a\xc3", OMOMI_SIDE_CONTEXT);
  EXPECT(NOT_UTF8, declare(fields, 1));
  fields[0] = omomi_number_field("n", OMOMI_SIDE_CONTEXT, "s", 1.0, 1.0);
  EXPECT_SAYING(SCHEMA_INVALID, "range of field `n`", declare(fields, 1));
  fields[0] = omomi_number_field("n", OMOMI_SIDE_CONTEXT, "s", (double)NAN, 1.0);
  EXPECT(SCHEMA_INVALID, declare(fields, 1));
  fields[0] = omomi_many(omomi_number_field("n", OMOMI_SIDE_CONTEXT, "s", 0.0, 1.0));
  EXPECT_SAYING(SCHEMA_INVALID, "cannot be `many`", declare(fields, 1));
  {
    static char names[65][4];
    for (index = 0; index < 65; index++) {
      snprintf(names[index], sizeof names[index], "f%d", (int)index);
      fields[index] = omomi_id_field(names[index], OMOMI_SIDE_CONTEXT);
    }
  }
  EXPECT_SAYING(SCHEMA_INVALID, "more than 64 context fields", declare(fields, 65));

  EXPECT_SAYING(UNKNOWN_FIELD, "no field `nowhere`", omomi_schema_slot(small.schema, "nowhere", 7, &slot, &error));
  EXPECT(NULL_ARGUMENT, omomi_schema_slot(NULL, "tag", 3, &slot, &error));
  EXPECT(NULL_ARGUMENT, omomi_schema_slot(small.schema, NULL, 3, &slot, &error));
  EXPECT(NULL_ARGUMENT, omomi_schema_slot(small.schema, "tag", 3, NULL, &error));
  EXPECT(NOT_UTF8, omomi_schema_slot(small.schema, "\xff", 1, &slot, &error));
}

static void an_impossible_layout_or_scorer_is_refused(void) {
  const OmomiField field = omomi_id_field("media_id", OMOMI_SIDE_CONTEXT);
  OmomiOffsets offsets = OMOMI_OFFSETS_INIT;
  OmomiSchema *schema;
  OmomiLayout *layout = NULL;
  OmomiScorer *scorer = NULL;
  EXPECT(INVALID_ARGUMENT, omomi_layout_open(small.schema, 0, 0, &layout, &error));
  EXPECT(INVALID_ARGUMENT, omomi_layout_open(small.schema, (size_t)-1, 0, &layout, &error));
  EXPECT(INVALID_ARGUMENT, omomi_layout_open(small.schema, 1, (size_t)-1, &layout, &error));
  EXPECT(NULL_ARGUMENT, omomi_layout_open(NULL, 1, 0, &layout, &error));
  EXPECT(NULL_ARGUMENT, omomi_layout_open(small.schema, 1, 0, NULL, &error));
  CHECK(layout == NULL);
  EXPECT(NULL_ARGUMENT, omomi_layout_offsets(NULL, &offsets, &error));
  EXPECT(NULL_ARGUMENT, omomi_layout_offsets(small.layout, NULL, &error));
  offsets.size_bytes = 0;
  EXPECT(WRONG_SIZE, omomi_layout_offsets(small.layout, &offsets, &error));

  EXPECT(OK, omomi_schema_open(&field, 1, &schema, &error));
  EXPECT(OK, omomi_layout_open(schema, 1, 0, &layout, &error));
  EXPECT_SAYING(FIELD_MISSING, "`interest`", omomi_scorer_open(small.model, layout, &scorer, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "model", omomi_scorer_open(NULL, layout, &scorer, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "layout", omomi_scorer_open(small.model, NULL, &scorer, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "out_scorer", omomi_scorer_open(small.model, small.layout, NULL, &error));
  CHECK(scorer == NULL);
  omomi_layout_close(layout);
  omomi_schema_close(schema);
}

static void misuse_of_predict_is_a_status_and_writes_no_answer(void) {
  OmomiRequest request = small_request(&small);
  unsigned char *block = request.block, *before = (unsigned char *)new_block(&small.offsets);
  const size_t len = small.offsets.len_bytes;
  const OmomiSlot region = small_slot(&small, "region");
  unsigned char *region_slot = block + small.offsets.context_offset + 16 + 8 * region.index;
  uint32_t number = 9;
  EXPECT(OK, omomi_request_predict(small.scorer, &request, SMALL_FILLED, &error));
  memcpy(before, block, len);
  EXPECT_SAYING(NULL_ARGUMENT, "scorer is null", omomi_scorer_predict(NULL, block, len, 1, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "block is null", omomi_scorer_predict(small.scorer, NULL, len, 1, &error));
  EXPECT_SAYING(MISALIGNED, "multiple of 8", omomi_scorer_predict(small.scorer, block + 4, len, 1, &error));
  EXPECT_SAYING(WRONG_SIZE, "request block", omomi_scorer_predict(small.scorer, block, len - 1, 1, &error));
  EXPECT(WRONG_SIZE, omomi_scorer_predict(small.scorer, block, len + 8, 1, &error));
  EXPECT(WRONG_SIZE, omomi_scorer_predict(small.scorer, block, 0, 1, &error));
  EXPECT_SAYING(TOO_MANY_CANDIDATES, "21", omomi_scorer_predict(small.scorer, block, len, 21, &error));
  EXPECT(TOO_MANY_CANDIDATES, omomi_scorer_predict(small.scorer, block, len, (size_t)-1, &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_predict(NULL, NULL, 0, 0, NULL));
  CHECK(memcmp(before, block, len) == 0);

  memcpy(block, &number, 4);
  EXPECT_SAYING(INVALID_ARGUMENT, "found 9", omomi_request_predict(small.scorer, &request, 1, &error));
  number = UINT32_MAX;
  memcpy(block, before, 4);
  memcpy(block + 4, &number, 4);
  EXPECT_SAYING(TAIL_FULL, "4294967295", omomi_request_predict(small.scorer, &request, 1, &error));
  memcpy(block + 4, before + 4, 4);
  memset(region_slot, 0xff, 8);
  EXPECT_SAYING(CONTEXT_MALFORMED, "field `region`", omomi_request_predict(small.scorer, &request, 1, &error));
  CHECK(memcmp(before + small.offsets.results_offset, block + small.offsets.results_offset,
               small.offsets.result_stride_bytes) == 0);
  memcpy(block, before, len);
  EXPECT(OK, omomi_request_predict(small.scorer, &request, 0, &error));
  CHECK(omomi_request_outcome(&request).scored_count == 0);
  free(before);
  free(block);
}

static void a_bad_candidate_fails_alone(void) {
  static const struct {
    const char *field;
    uint64_t word;
    uint32_t status;
  } rows[] = {
      {"title", 0xffffffff, OMOMI_CANDIDATE_OUTSIDE_TAIL},
      {"title", (uint64_t)0xffffffff << 32, OMOMI_CANDIDATE_OUTSIDE_TAIL},
      {"title", UINT64_MAX, OMOMI_CANDIDATE_OUTSIDE_TAIL},
      {"tag", 4 | (uint64_t)1 << 32, OMOMI_CANDIDATE_OUTSIDE_TAIL},
      {"tag", (uint64_t)20000 << 32, OMOMI_CANDIDATE_TOO_MANY_VALUES},
      {"tag", (uint64_t)1000 << 32, OMOMI_CANDIDATE_OUTSIDE_TAIL},
  };
  OmomiExplanation explanation = OMOMI_EXPLANATION_INIT;
  OmomiRequest request = small_request(&small);
  OmomiAnswer before[SMALL_FILLED];
  size_t index, candidate;
  EXPECT(OK, omomi_request_predict(small.scorer, &request, SMALL_FILLED, &error));
  for (candidate = 0; candidate < SMALL_FILLED; candidate++)
    before[candidate] = omomi_request_answer(&request, candidate);
  for (index = 0; index <= sizeof rows / sizeof rows[0]; index++) {
    uint32_t expected = OMOMI_CANDIDATE_NOT_UTF8;
    small_fill(&small, &request);
    if (index < sizeof rows / sizeof rows[0]) {
      expected = rows[index].status;
      memcpy(request.block + small.offsets.candidates_offset + small.offsets.candidate_stride_bytes + 16 +
                 8 * small_slot(&small, rows[index].field).index,
             &rows[index].word, 8);
    } else {
      EXPECT(OK, omomi_set_text(omomi_candidate_row(&request, 1), small_slot(&small, "title"), "one \xff byte", 10));
    }
    EXPECT(OK, omomi_request_predict(small.scorer, &request, SMALL_FILLED, &error));
    for (candidate = 0; candidate < SMALL_FILLED; candidate++) {
      const OmomiAnswer answer = omomi_request_answer(&request, candidate);
      if (candidate == 1)
        CHECK(answer.status == expected && isnan(answer.probability) && isnan(answer.logit));
      else
        CHECK(memcmp(&answer, &before[candidate], sizeof answer) == 0);
    }
    CHECK(omomi_request_outcome(&request).scored_count == 2 && omomi_request_outcome(&request).refused_count == 1);
    EXPECT(INVALID_ARGUMENT, omomi_scorer_explain(small.scorer, request.block, small.offsets.len_bytes, 1, &explanation,
                                                  NULL, 0, &error));
  }
  free(request.block);
}

static void setters_refuse_values_that_do_not_fit_and_keep_the_last_of_two_values(void) {
  static const int64_t ids[20000];
  static const uint64_t values[1025];
  static const char long_text[70000];
  OmomiRequest request = small_request(&small), other;
  const OmomiSlot creative_id = small_slot(&small, "creative_id"), title = small_slot(&small, "title");
  const OmomiSlot tag = small_slot(&small, "tag"), region = small_slot(&small, "region");
  const OmomiSlot age = small_slot(&small, "age_seconds"), interest = small_slot(&small, "interest");
  const OmomiText too_long[] = {{"a", 1}, {long_text, sizeof long_text}};
  OmomiSlot nowhere = creative_id;
  OmomiRow row = omomi_candidate_row(&request, SMALL_CANDIDATES);
  uint32_t used;
  uint64_t value;
  OmomiAnswer answers[2];
  EXPECT(TOO_MANY_CANDIDATES, omomi_set_id(row, creative_id, 1));
  row = omomi_candidate_row(&request, 0);
  used = omomi_request_tail_used_bytes(&request);
  nowhere.index = 99;
  EXPECT(UNKNOWN_FIELD, omomi_set_id(row, nowhere, 1));
  EXPECT(WRONG_FIELD_USE, omomi_set_id(row, title, 1));
  EXPECT(WRONG_FIELD_USE, omomi_set_id(row, tag, 1));
  EXPECT(WRONG_FIELD_USE, omomi_set_text(row, region, "x", 1));
  EXPECT(WRONG_FIELD_USE, omomi_set_number(row, title, 1.0));
  EXPECT(WRONG_FIELD_USE, omomi_set_text_value(row, creative_id, 1));
  EXPECT(TOO_MANY_VALUES, omomi_set_ids(row, tag, ids, 20000));
  EXPECT(NULL_ARGUMENT, omomi_set_ids(row, tag, NULL, 1));
  EXPECT(NULL_ARGUMENT, omomi_set_text(row, title, NULL, 1));
  EXPECT(TAIL_FULL, omomi_set_text(row, title, long_text, sizeof long_text));
  EXPECT(TAIL_FULL, omomi_set_text(row, title, long_text, (size_t)-1));
  EXPECT(TAIL_FULL, omomi_set_texts(omomi_context_row(&request), interest, too_long, 2));
  EXPECT(TOO_MANY_VALUES, omomi_set_text_values(omomi_context_row(&request), interest, values, 1025));
  CHECK(omomi_request_tail_used_bytes(&request) == used);
  EXPECT(OK, omomi_set_texts(omomi_context_row(&request), interest, NULL, 0));

  EXPECT(OK, omomi_set_id(row, creative_id, 0));
  EXPECT(OK, omomi_set_id(row, creative_id, 1));
  EXPECT(OK, omomi_set_text(row, title, "twice", 5));
  EXPECT(OK, omomi_set_number(row, age, (double)NAN));
  row = omomi_candidate_row(&request, 1);
  EXPECT(OK, omomi_set_id(row, creative_id, 1));
  EXPECT(OK, omomi_text_value("twice", 5, &value, &error));
  EXPECT(OK, omomi_set_text_value(row, title, value));
  EXPECT(OK, omomi_request_predict(small.scorer, &request, 2, &error));
  answers[0] = omomi_request_answer(&request, 0);
  answers[1] = omomi_request_answer(&request, 1);
  CHECK(memcmp(&answers[0], &answers[1], sizeof answers[0]) == 0);
  CHECK(omomi_request_outcome(&request).invalid_number_count == 1);

  EXPECT(NULL_ARGUMENT, omomi_request_init(NULL, &small.offsets, request.block, small.offsets.len_bytes));
  EXPECT(NULL_ARGUMENT, omomi_request_init(&other, NULL, request.block, small.offsets.len_bytes));
  EXPECT(NULL_ARGUMENT, omomi_request_init(&other, &small.offsets, NULL, small.offsets.len_bytes));
  EXPECT(MISALIGNED, omomi_request_init(&other, &small.offsets, request.block + 1, small.offsets.len_bytes));
  EXPECT(WRONG_SIZE, omomi_request_init(&other, &small.offsets, request.block, small.offsets.len_bytes - 8));
  free(request.block);
}

static void an_explanation_sums_to_its_logit_or_the_call_fails(void) {
  OmomiExplanation explanation = OMOMI_EXPLANATION_INIT;
  OmomiContribution *contributions;
  OmomiRequest *request = &small.request;
  const size_t len = small.offsets.len_bytes;
  double sum;
  size_t index, count;
  EXPECT(OK, omomi_scorer_explain(small.scorer, request->block, len, 2, &explanation, NULL, 0, &error));
  count = explanation.contribution_count;
  CHECK(count > 8);
  contributions = (OmomiContribution *)malloc(count * sizeof *contributions);
  EXPECT(OK, omomi_scorer_explain(small.scorer, request->block, len, 2, &explanation, contributions, count, &error));
  sum = explanation.bias;
  for (index = 0; index < count; index++) {
    CHECK(contributions[index].name[0] != 0 && contributions[index].has_weight <= 1);
    CHECK(contributions[index].has_weight == 1 || contributions[index].weight == 0.0f);
    sum += (double)contributions[index].weight;
  }
  CHECK(strcmp(contributions[0].name, "media_id") == 0);
  CHECK(fabs(sum - explanation.logit) < 1e-9);
  EXPECT(WRONG_SIZE, omomi_scorer_explain(small.scorer, request->block, len, 2, &explanation, contributions, count - 1,
                                          &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_explain(small.scorer, request->block, len, 2, &explanation, NULL, 1, &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_explain(NULL, request->block, len, 2, &explanation, NULL, 0, &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_explain(small.scorer, NULL, len, 2, &explanation, NULL, 0, &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_explain(small.scorer, request->block, len, 2, NULL, NULL, 0, &error));
  EXPECT(WRONG_SIZE, omomi_scorer_explain(small.scorer, request->block, 8, 2, &explanation, NULL, 0, &error));
  EXPECT(TOO_MANY_CANDIDATES, omomi_scorer_explain(small.scorer, request->block, len, (size_t)-1, &explanation, NULL, 0,
                                                   &error));
  explanation.size_bytes = 1;
  EXPECT(WRONG_SIZE, omomi_scorer_explain(small.scorer, request->block, len, 2, &explanation, NULL, 0, &error));
  free(contributions);
}

static void careless_calls_for_feature_keys_are_refused(void) {
  uint64_t number = 5;
  EXPECT(NULL_ARGUMENT, omomi_text_value(NULL, 1, &number, &error));
  EXPECT(NULL_ARGUMENT, omomi_text_value("a", 1, NULL, &error));
  EXPECT_SAYING(NOT_UTF8, "at 2", omomi_text_value("ab\xff", 3, &number, &error));
  EXPECT(NULL_ARGUMENT, omomi_feature_key(NULL, 1, 0, &number, &error));
  EXPECT(NULL_ARGUMENT, omomi_feature_key("a", 1, 0, NULL, &error));
  EXPECT(NULL_ARGUMENT, omomi_cross_key("a*b", 3, NULL, 2, &number, &error));
  EXPECT(NULL_ARGUMENT, omomi_cross_key(NULL, 3, &number, 1, &number, &error));
  EXPECT(NULL_ARGUMENT, omomi_cross_key("a*b", 3, &number, 1, NULL, &error));
  EXPECT(INVALID_ARGUMENT, omomi_cross_key("a*b", 3, &number, (size_t)-1, &number, &error));
  CHECK(number == 5);
}

static OmomiAnswer expected_answers[SMALL_FILLED];

static void *predict_often(void *unused) {
  OmomiError thread_error = OMOMI_ERROR_INIT;
  OmomiRequest request = small_request(&small);
  size_t round, index;
  (void)unused;
  for (round = 0; round < 2000; round++) {
    const OmomiStatus status = omomi_request_predict(small.scorer, &request, SMALL_FILLED, &thread_error);
    CHECK(status == OMOMI_STATUS_OK || status == OMOMI_STATUS_SCORER_BUSY);
    for (index = 0; status == OMOMI_STATUS_OK && index < SMALL_FILLED; index++) {
      const OmomiAnswer answer = omomi_request_answer(&request, index);
      CHECK(memcmp(&answer, &expected_answers[index], sizeof answer) == 0);
    }
  }
  free(request.block);
  return NULL;
}

static void threads_on_one_scorer_get_a_status_or_the_right_answer(void) {
  pthread_t threads[4];
  size_t index;
  EXPECT(OK, omomi_request_predict(small.scorer, &small.request, SMALL_FILLED, &error));
  for (index = 0; index < SMALL_FILLED; index++)
    expected_answers[index] = omomi_request_answer(&small.request, index);
  for (index = 0; index < 4; index++)
    CHECK(pthread_create(&threads[index], NULL, predict_often, NULL) == 0);
  for (index = 0; index < 4; index++)
    CHECK(pthread_join(threads[index], NULL) == 0);
}

static void a_scorer_outlives_its_model_schema_and_layout(const char *path) {
  Small other = small_open(path);
  omomi_model_close(other.model);
  omomi_layout_close(other.layout);
  omomi_schema_close(other.schema);
  EXPECT(OK, omomi_request_predict(other.scorer, &other.request, SMALL_FILLED, &error));
  CHECK(omomi_request_outcome(&other.request).generation == 7);
  omomi_scorer_close(other.scorer);
  free(other.request.block);
}

int main(int argc, char **argv) {
  char path[4096];
  CHECK(argc == 2);
  snprintf(path, sizeof path, "%s/small.omomi", argv[1]);
  small = small_open(path);
  statuses_have_names_owners_and_actions();
  a_panic_is_a_status_and_the_process_continues();
  null_and_zeroed_rows_in_inline_functions_are_a_status();
  an_error_struct_of_another_size_is_refused_and_left_alone();
  files_that_are_not_weight_files_are_refused(argv[1]);
  careless_opening_is_a_status(path);
  texts_of_a_model_fit_the_buffer_or_the_call_fails();
  an_invalid_declaration_is_refused();
  an_impossible_layout_or_scorer_is_refused();
  misuse_of_predict_is_a_status_and_writes_no_answer();
  a_bad_candidate_fails_alone();
  setters_refuse_values_that_do_not_fit_and_keep_the_last_of_two_values();
  an_explanation_sums_to_its_logit_or_the_call_fails();
  careless_calls_for_feature_keys_are_refused();
  threads_on_one_scorer_get_a_status_or_the_right_answer();
  a_scorer_outlives_its_model_schema_and_layout(path);
  small_close(&small);
  printf("every careless call was survived\n");
  return 0;
}

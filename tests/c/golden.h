/*
 * Reads requests with their expected answers and compares them with the library's answers, bit for bit: with
 * candidates as rows for one model, and with prepared candidates for two.
 *
 * One item per line; white space separates words; texts are hexadecimal, and "-" is the empty text; doubles and floats
 * are bits:
 *
 *     request <number of candidates>
 *     context | candidate <index>
 *     id <field> <number> | number <field> <bits> | text <field> <hex>
 *     ids <field> <count> <number>... | texts <field> <count> <hex>...
 *     answers
 *     <logit> <probability> <status>                        for each candidate
 *     counts <scored> <refused> <unseen> <missing> <invalid number>
 */

#ifndef OMOMI_TESTS_GOLDEN_H
#define OMOMI_TESTS_GOLDEN_H

#include "check.h"
#include <inttypes.h>

enum { GOLDEN_CANDIDATES = 64, GOLDEN_TAIL_LEN_BYTES = 65536, GOLDEN_VALUES = 64, GOLDEN_TEXT_LEN_BYTES = 1024 };

static inline size_t golden_text(FILE *file, char *out_text) {
  char hex[2 * GOLDEN_TEXT_LEN_BYTES + 1];
  size_t len = 0;
  CHECK(fscanf(file, "%2048s", hex) == 1);
  if (strcmp(hex, "-") == 0)
    return 0;
  for (; hex[2 * len] != 0; len++) {
    unsigned byte;
    CHECK(sscanf(hex + 2 * len, "%2x", &byte) == 1);
    out_text[len] = (char)(unsigned char)byte;
  }
  return len;
}

/* Sets the field of a line that begins with `kind`. */
static inline void golden_field(FILE *file, const char *kind, const OmomiSchema *schema, OmomiRow row) {
  static char texts[GOLDEN_VALUES][GOLDEN_TEXT_LEN_BYTES];
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiText list[GOLDEN_VALUES];
  int64_t ids[GOLDEN_VALUES];
  OmomiSlot slot;
  char name[65];
  size_t count = 1, index;
  CHECK(fscanf(file, "%64s", name) == 1);
  EXPECT(OK, omomi_schema_slot(schema, omomi_c_text(name), &slot, &error));
  if (strcmp(kind, "number") == 0) {
    uint64_t bits;
    double number;
    CHECK(fscanf(file, "%" SCNx64, &bits) == 1);
    memcpy(&number, &bits, sizeof number);
    EXPECT(OK, omomi_set_number(row, slot, number));
    return;
  }
  if (kind[strlen(kind) - 1] == 's')
    CHECK(fscanf(file, "%zu", &count) == 1 && count <= GOLDEN_VALUES);
  if (kind[0] == 'i') {
    for (index = 0; index < count; index++)
      CHECK(fscanf(file, "%" SCNd64, &ids[index]) == 1);
    if (strcmp(kind, "id") == 0)
      EXPECT(OK, omomi_set_id(row, slot, ids[0]));
    else
      EXPECT(OK, omomi_set_ids(row, slot, ids, count));
    return;
  }
  for (index = 0; index < count; index++) {
    list[index].text = texts[index];
    list[index].len_bytes = golden_text(file, texts[index]);
  }
  if (strcmp(kind, "text") == 0)
    EXPECT(OK, omomi_set_text(row, slot, list[0]));
  else
    EXPECT(OK, omomi_set_texts(row, slot, list, count));
}

static inline void golden_compare(FILE *file, const OmomiScorer *scorer, OmomiRequest *request, size_t count) {
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiOutcome outcome;
  uint32_t scored, refused, unseen, missing, invalid;
  size_t index;
  EXPECT(OK, omomi_request_predict(scorer, request, count, &error));
  for (index = 0; index < count; index++) {
    const OmomiAnswer answer = omomi_request_answer(request, index);
    uint64_t logit, expected_logit;
    uint32_t probability, expected_probability, expected_status;
    memcpy(&logit, &answer.logit, sizeof logit);
    memcpy(&probability, &answer.probability, sizeof probability);
    CHECK(fscanf(file, "%" SCNx64 " %" SCNx32 " %" SCNu32, &expected_logit, &expected_probability, &expected_status) ==
          3);
    CHECK(logit == expected_logit && probability == expected_probability && answer.status == expected_status);
    if (answer.status == OMOMI_CANDIDATE_SCORED) {
      OmomiExplanation explanation = OMOMI_EXPLANATION_INIT;
      EXPECT(OK, omomi_scorer_explain(scorer, request->block, request->layout.len_bytes, index, &explanation, NULL, 0,
                                      &error));
      CHECK(memcmp(&explanation.logit, &answer.logit, sizeof logit) == 0);
      CHECK(memcmp(&explanation.probability, &answer.probability, sizeof probability) == 0);
    }
  }
  outcome = omomi_request_outcome(request);
  CHECK(fscanf(file, " counts %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32, &scored, &refused, &unseen,
               &missing, &invalid) == 5);
  CHECK(outcome.scored_count == scored && outcome.refused_count == refused && outcome.unseen_count == unseen);
  CHECK(outcome.missing_count == missing && outcome.invalid_number_count == invalid);
}

/* The other way to ask: the request's rows in a candidate set, named by index in reverse order, for one model twice,
 * within a sufficient time limit. */
typedef struct {
  OmomiLayout *layout;
  OmomiCandidateSet *set;
  OmomiScorer *scorer;
  OmomiRequest request;
} GoldenPrepared;

static inline GoldenPrepared golden_prepared_open(const OmomiModel *model, const OmomiSchema *schema,
                                                  const OmomiLayout *layout) {
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiLayoutOptions options = OMOMI_LAYOUT_OPTIONS_INIT;
  OmomiLayoutInfo info = OMOMI_LAYOUT_INFO_INIT;
  const OmomiModel *models[2];
  GoldenPrepared prepared;
  models[0] = models[1] = model;
  options.candidate_capacity = GOLDEN_CANDIDATES;
  options.tail_len_bytes = GOLDEN_TAIL_LEN_BYTES;
  options.model_count = 2;
  options.candidates = OMOMI_CANDIDATES_PREPARED;
  EXPECT(OK, omomi_layout_open_with(schema, &options, &prepared.layout, &error));
  EXPECT(OK, omomi_layout_info(prepared.layout, &info, &error));
  EXPECT(OK, omomi_candidate_set_open(layout, GOLDEN_CANDIDATES, GOLDEN_VALUES, &prepared.set, &error));
  EXPECT(OK, omomi_scorer_open_with(models, 2, prepared.layout, prepared.set, &prepared.scorer, &error));
  EXPECT(OK, omomi_request_init(&prepared.request, &info, new_block(&info), info.len_bytes));
  return prepared;
}

static inline void golden_prepared_close(GoldenPrepared *prepared) {
  free(prepared->request.block);
  omomi_candidate_set_close(prepared->set);
  omomi_layout_close(prepared->layout);
  omomi_scorer_close(prepared->scorer);
}

/* Checks that both models give the answers and counts of `inline_request`, bit for bit. */
static inline void golden_compare_prepared(GoldenPrepared *prepared, OmomiRequest *inline_request, size_t count) {
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiRequest *request = &prepared->request;
  const OmomiLayoutInfo *from = &inline_request->layout, *to = &request->layout;
  const OmomiOutcome expected_outcome = omomi_request_outcome(inline_request);
  size_t index, model;
  /* The context row, followed by the tail. */
  memcpy(request->block, inline_request->block, from->candidates_offset);
  memcpy(request->block + to->tail_offset, inline_request->block + from->tail_offset, GOLDEN_TAIL_LEN_BYTES);
  for (index = 0; index < count; index++) {
    EXPECT(OK, omomi_request_put_in_set(prepared->set, (uint32_t)index, inline_request, index, &error));
    EXPECT(OK, omomi_request_set_candidate(request, index, (uint32_t)(count - 1 - index)));
  }
  EXPECT(OK, omomi_request_predict_within(prepared->scorer, request, count, 60 * 1000000, &error));
  for (model = 0; model < 2; model++) {
    const OmomiOutcome outcome = omomi_request_outcome_of(request, model);
    for (index = 0; index < count; index++) {
      const OmomiAnswer answer = omomi_request_answer_of(request, model, index);
      const OmomiAnswer expected = omomi_request_answer(inline_request, count - 1 - index);
      CHECK(memcmp(&answer, &expected, sizeof answer) == 0);
    }
    CHECK(memcmp(&outcome, &expected_outcome, sizeof outcome) == 0);
  }
}

/* Scores every request of the file at `path`, and returns the number of requests. */
static inline size_t golden_check_all(const char *path, const OmomiModel *model) {
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiLayoutInfo info = OMOMI_LAYOUT_INFO_INIT;
  OmomiSchema *schema;
  OmomiLayout *layout;
  OmomiScorer *scorer;
  OmomiRequest request;
  OmomiRow row;
  GoldenPrepared prepared;
  void *block;
  char word[16];
  size_t request_count = 0, candidate_count = 0, index;
  FILE *file = fopen(path, "r");
  CHECK(file != NULL);
  EXPECT(OK, omomi_schema_of_model(model, &schema, &error));
  EXPECT(OK, omomi_layout_open(schema, GOLDEN_CANDIDATES, GOLDEN_TAIL_LEN_BYTES, &layout, &error));
  EXPECT(OK, omomi_layout_info(layout, &info, &error));
  EXPECT(OK, omomi_scorer_open(model, layout, &scorer, &error));
  prepared = golden_prepared_open(model, schema, layout);
  block = new_block(&info);
  EXPECT(OK, omomi_request_init(&request, &info, block, info.len_bytes));
  row = omomi_context_row(&request);
  while (fscanf(file, "%15s", word) == 1) {
    if (strcmp(word, "request") == 0) {
      CHECK(fscanf(file, "%zu", &candidate_count) == 1);
      omomi_request_clear(&request);
      request_count++;
    } else if (strcmp(word, "context") == 0) {
      row = omomi_context_row(&request);
    } else if (strcmp(word, "candidate") == 0) {
      CHECK(fscanf(file, "%zu", &index) == 1);
      row = omomi_candidate_row(&request, index);
    } else if (strcmp(word, "answers") == 0) {
      golden_compare(file, scorer, &request, candidate_count);
      golden_compare_prepared(&prepared, &request, candidate_count);
    } else {
      golden_field(file, word, schema, row);
    }
  }
  fclose(file);
  free(block);
  golden_prepared_close(&prepared);
  omomi_scorer_close(scorer);
  omomi_layout_close(layout);
  omomi_schema_close(schema);
  return request_count;
}

#endif

/* declaration WEIGHT_FILE: binds a declaration that `omomi contract generate --c` made, and sets each field. */

#include "../declarations/awkward.h"
#include <stdio.h>
#include <stdlib.h>

static OmomiError error = OMOMI_ERROR_INIT;

static void check(OmomiStatus status) {
  if (status != OMOMI_STATUS_OK) {
    fprintf(stderr, "%s\n", error.message);
    exit(1);
  }
}

int main(int argc, char **argv) {
  OmomiSchema *schema = NULL;
  OmomiLayout *layout = NULL;
  OmomiModel *model = NULL;
  OmomiScorer *scorer = NULL;
  Awkward fields;
  if (argc != 2)
    return 2;
  if (awkward_open(NULL, &fields, &error) != OMOMI_STATUS_NULL_ARGUMENT ||
      awkward_open(&schema, NULL, &error) != OMOMI_STATUS_NULL_ARGUMENT)
    return 3;
  check(awkward_open(&schema, &fields, &error));
  check(omomi_layout_open(schema, 1, 256, &layout, &error));
  check(omomi_model_open(omomi_c_text(argv[1]), NULL, &model, &error));
  check(omomi_scorer_open(model, layout, &scorer, &error));
  {
    /* A slot that was not looked up would be equal to another one of its side. */
    const OmomiSlot slots[] = {fields.site_id,     fields.site_id_2,  fields.type,        fields.class_field,
                               fields.field,       fields.field_1,    fields.null,        fields.errno_field,
                               fields.wait,        fields.schema,     fields.context,     fields.unix_field};
    const size_t count = sizeof slots / sizeof slots[0];
    size_t one, other;
    for (one = 0; one < count; one++)
      for (other = 0; other < one; other++)
        if (memcmp(&slots[one], &slots[other], sizeof slots[one]) == 0)
          return 4;
    printf("%u fields bind\n", (unsigned)count);
  }
  omomi_scorer_close(scorer);
  omomi_model_close(model);
  omomi_layout_close(layout);
  omomi_schema_close(schema);
  return 0;
}

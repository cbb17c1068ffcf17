/*
 * Made by `omomi contract generate --c` from the contract * / "x" \u00 <b> 広告 ??/, fingerprint
 * 4c21742cb5badbf6. Do not edit it: make it again when the contract changes. type, class take texts in
 * Unicode NFC: training normalizes them, and scoring does not, so the server must send NFC. A text in
 * another form is an unseen category.
 */
#ifndef AWKWARD_H
#define AWKWARD_H

#include <omomi.h>

/* The fields of the contract * / "x" \u00 <b> 広告 ??/: their slots. */
typedef struct {
  /* ends a comment * / and opens one / * in Scala / ** and C */
  OmomiSlot site_id;
  /* the same name in most languages; \u is no character, \u0022 is a quote, and \ */
  OmomiSlot site_id_2;
  /* a word of Scala and Rust. <b>HTML</b> & {@link Nothing} @see `[nothing]` #. Send it as Unicode NFC */
  OmomiSlot type;
  /* a word of Java and C++ 広告の種類. Send it as Unicode NFC */
  OmomiSlot class_field;
  /* a name without a letter */
  OmomiSlot field;
  /* a name with a digit only ??/ */
  OmomiSlot field_1;
  /* a macro of C */
  OmomiSlot null;
  /* a macro of C in lower case */
  OmomiSlot errno_field;
  /* a method of every object */
  OmomiSlot wait;
  /*
   * what a declaration calls itself. A meaning may be long, so it is broken into lines that people can
   * read. A meaning may be long, so it is broken into lines that people can read. A meaning may be long,
   * so it is broken into lines that people can read. A meaning may be long, so it is broken into lines
   * that people can read.
   */
  OmomiSlot schema;
  /* a side */
  OmomiSlot context;
  /* a macro of gcc */
  OmomiSlot unix_field;
} Awkward;

/*
 * Declares the fields, and looks up their slots, once for every later model. Close the schema with
 * omomi_schema_close. In case of an error, no schema is open.
 */
static inline OmomiStatus awkward_open(OmomiSchema **out_schema, Awkward *out_fields, OmomiError *error) {
  const OmomiField fields[] = {
      omomi_id_field(omomi_text("site_id"), OMOMI_SIDE_CONTEXT),
      omomi_id_field(omomi_text("siteId"), OMOMI_SIDE_CONTEXT),
      omomi_text_field(omomi_text("type"), OMOMI_SIDE_CONTEXT),
      omomi_many(omomi_text_field(omomi_text("class"), OMOMI_SIDE_CONTEXT)),
      omomi_id_field(omomi_text("_"), OMOMI_SIDE_CONTEXT),
      omomi_many(omomi_id_field(omomi_text("__1"), OMOMI_SIDE_CONTEXT)),
      omomi_number_field(omomi_text("NULL"), OMOMI_SIDE_CONTEXT, omomi_text("yen \"¥\" per \\u0041 $1 ?\?= \\"), -1e300, 1e16),
      omomi_id_field(omomi_text("errno"), OMOMI_SIDE_CANDIDATE),
      omomi_many(omomi_text_field(omomi_text("wait"), OMOMI_SIDE_CANDIDATE)),
      omomi_many(omomi_id_field(omomi_text("schema"), OMOMI_SIDE_CANDIDATE)),
      omomi_text_field(omomi_text("context"), OMOMI_SIDE_CANDIDATE),
      omomi_number_field(omomi_text("unix"), OMOMI_SIDE_CANDIDATE, omomi_text("s"), 1e-7, 0.1),
  };
  OmomiStatus status;
  if (out_schema == NULL || out_fields == NULL)
    return OMOMI_STATUS_NULL_ARGUMENT;
  *out_schema = NULL;
  status = omomi_schema_open(fields, sizeof fields / sizeof fields[0], out_schema, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("site_id"), &out_fields->site_id, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("siteId"), &out_fields->site_id_2, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("type"), &out_fields->type, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("class"), &out_fields->class_field, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("_"), &out_fields->field, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("__1"), &out_fields->field_1, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("NULL"), &out_fields->null, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("errno"), &out_fields->errno_field, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("wait"), &out_fields->wait, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("schema"), &out_fields->schema, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("context"), &out_fields->context, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("unix"), &out_fields->unix_field, error);
  if (status != OMOMI_STATUS_OK) {
    omomi_schema_close(*out_schema);
    *out_schema = NULL;
  }
  return status;
}

#endif /* AWKWARD_H */

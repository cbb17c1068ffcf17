/*
 * Made by `omomi contract generate --c` from the contract generated-ctr, fingerprint af8eac355f781a04. Do
 * not edit it: make it again when the contract changes.
 */
#ifndef GENERATED_CTR_H
#define GENERATED_CTR_H

#include <omomi.h>

/* The fields of the contract generated-ctr: their slots. */
typedef struct {
  /* the user, an opaque number; missing when unknown */
  OmomiSlot user_id;
  /* kind of device that the user holds */
  OmomiSlot device;
  /* operating system of the device */
  OmomiSlot os;
  /* prefecture of Japan in which the user lives */
  OmomiSlot region;
  /* audience segment to which the user belongs */
  OmomiSlot segment;
  /* interest categories of the user */
  OmomiSlot interest;
  /* hour of the day in UTC, 0 to 23 */
  OmomiSlot hour;
  /* the site on which the slot is */
  OmomiSlot site_id;
  /* where on the page the slot is */
  OmomiSlot slot;
  /* width and height of the slot in CSS pixels */
  OmomiSlot size;
  /* the exchange through which the request came */
  OmomiSlot exchange;
  /* lowest bid that the site accepts */
  OmomiSlot floor_price;
  /* the creative */
  OmomiSlot creative_id;
  /* the campaign to which the creative belongs */
  OmomiSlot campaign_id;
  /* who pays for the campaign */
  OmomiSlot advertiser_id;
  /* what the campaign advertises */
  OmomiSlot category;
  /* format of the creative */
  OmomiSlot format;
  /* what the creative appeals to */
  OmomiSlot theme;
  /* kind of page to which a click leads */
  OmomiSlot landing;
  /* time since the creative was first ready to be shown */
  OmomiSlot creative_age;
} GeneratedCtr;

/*
 * Declares the fields, and looks up their slots, once for every later model. Close the schema with
 * omomi_schema_close. In case of an error, no schema is open.
 */
static inline OmomiStatus generated_ctr_open(OmomiSchema **out_schema, GeneratedCtr *out_fields, OmomiError *error) {
  const OmomiField fields[] = {
      omomi_id_field(omomi_text("user_id"), OMOMI_SIDE_CONTEXT),
      omomi_text_field(omomi_text("device"), OMOMI_SIDE_CONTEXT),
      omomi_text_field(omomi_text("os"), OMOMI_SIDE_CONTEXT),
      omomi_text_field(omomi_text("region"), OMOMI_SIDE_CONTEXT),
      omomi_text_field(omomi_text("segment"), OMOMI_SIDE_CONTEXT),
      omomi_many(omomi_text_field(omomi_text("interest"), OMOMI_SIDE_CONTEXT)),
      omomi_id_field(omomi_text("hour"), OMOMI_SIDE_CONTEXT),
      omomi_id_field(omomi_text("site_id"), OMOMI_SIDE_CONTEXT),
      omomi_text_field(omomi_text("slot"), OMOMI_SIDE_CONTEXT),
      omomi_text_field(omomi_text("size"), OMOMI_SIDE_CONTEXT),
      omomi_text_field(omomi_text("exchange"), OMOMI_SIDE_CONTEXT),
      omomi_number_field(omomi_text("floor_price"), OMOMI_SIDE_CONTEXT, omomi_text("JPY per 1,000 impressions"), 0.0, 100000.0),
      omomi_id_field(omomi_text("creative_id"), OMOMI_SIDE_CANDIDATE),
      omomi_id_field(omomi_text("campaign_id"), OMOMI_SIDE_CANDIDATE),
      omomi_id_field(omomi_text("advertiser_id"), OMOMI_SIDE_CANDIDATE),
      omomi_text_field(omomi_text("category"), OMOMI_SIDE_CANDIDATE),
      omomi_text_field(omomi_text("format"), OMOMI_SIDE_CANDIDATE),
      omomi_text_field(omomi_text("theme"), OMOMI_SIDE_CANDIDATE),
      omomi_text_field(omomi_text("landing"), OMOMI_SIDE_CANDIDATE),
      omomi_number_field(omomi_text("creative_age"), OMOMI_SIDE_CANDIDATE, omomi_text("hours"), 0.0, 2400.0),
  };
  OmomiStatus status;
  if (out_schema == NULL || out_fields == NULL)
    return OMOMI_STATUS_NULL_ARGUMENT;
  *out_schema = NULL;
  status = omomi_schema_open(fields, sizeof fields / sizeof fields[0], out_schema, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("user_id"), &out_fields->user_id, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("device"), &out_fields->device, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("os"), &out_fields->os, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("region"), &out_fields->region, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("segment"), &out_fields->segment, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("interest"), &out_fields->interest, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("hour"), &out_fields->hour, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("site_id"), &out_fields->site_id, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("slot"), &out_fields->slot, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("size"), &out_fields->size, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("exchange"), &out_fields->exchange, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("floor_price"), &out_fields->floor_price, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("creative_id"), &out_fields->creative_id, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("campaign_id"), &out_fields->campaign_id, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("advertiser_id"), &out_fields->advertiser_id, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("category"), &out_fields->category, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("format"), &out_fields->format, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("theme"), &out_fields->theme, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("landing"), &out_fields->landing, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, omomi_text("creative_age"), &out_fields->creative_age, error);
  if (status != OMOMI_STATUS_OK) {
    omomi_schema_close(*out_schema);
    *out_schema = NULL;
  }
  return status;
}

#endif /* GENERATED_CTR_H */

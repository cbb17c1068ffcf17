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
      omomi_id_field("user_id", OMOMI_SIDE_CONTEXT),
      omomi_text_field("device", OMOMI_SIDE_CONTEXT),
      omomi_text_field("os", OMOMI_SIDE_CONTEXT),
      omomi_text_field("region", OMOMI_SIDE_CONTEXT),
      omomi_text_field("segment", OMOMI_SIDE_CONTEXT),
      omomi_many(omomi_text_field("interest", OMOMI_SIDE_CONTEXT)),
      omomi_id_field("hour", OMOMI_SIDE_CONTEXT),
      omomi_id_field("site_id", OMOMI_SIDE_CONTEXT),
      omomi_text_field("slot", OMOMI_SIDE_CONTEXT),
      omomi_text_field("size", OMOMI_SIDE_CONTEXT),
      omomi_text_field("exchange", OMOMI_SIDE_CONTEXT),
      omomi_number_field("floor_price", OMOMI_SIDE_CONTEXT, "JPY per 1,000 impressions", 0.0, 100000.0),
      omomi_id_field("creative_id", OMOMI_SIDE_CANDIDATE),
      omomi_id_field("campaign_id", OMOMI_SIDE_CANDIDATE),
      omomi_id_field("advertiser_id", OMOMI_SIDE_CANDIDATE),
      omomi_text_field("category", OMOMI_SIDE_CANDIDATE),
      omomi_text_field("format", OMOMI_SIDE_CANDIDATE),
      omomi_text_field("theme", OMOMI_SIDE_CANDIDATE),
      omomi_text_field("landing", OMOMI_SIDE_CANDIDATE),
      omomi_number_field("creative_age", OMOMI_SIDE_CANDIDATE, "hours", 0.0, 2400.0),
  };
  OmomiStatus status;
  if (out_schema == NULL || out_fields == NULL)
    return OMOMI_STATUS_NULL_ARGUMENT;
  *out_schema = NULL;
  status = omomi_schema_open(fields, sizeof fields / sizeof fields[0], out_schema, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "user_id", 7, &out_fields->user_id, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "device", 6, &out_fields->device, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "os", 2, &out_fields->os, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "region", 6, &out_fields->region, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "segment", 7, &out_fields->segment, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "interest", 8, &out_fields->interest, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "hour", 4, &out_fields->hour, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "site_id", 7, &out_fields->site_id, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "slot", 4, &out_fields->slot, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "size", 4, &out_fields->size, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "exchange", 8, &out_fields->exchange, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "floor_price", 11, &out_fields->floor_price, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "creative_id", 11, &out_fields->creative_id, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "campaign_id", 11, &out_fields->campaign_id, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "advertiser_id", 13, &out_fields->advertiser_id, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "category", 8, &out_fields->category, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "format", 6, &out_fields->format, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "theme", 5, &out_fields->theme, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "landing", 7, &out_fields->landing, error);
  if (status == OMOMI_STATUS_OK)
    status = omomi_schema_slot(*out_schema, "creative_age", 12, &out_fields->creative_age, error);
  if (status != OMOMI_STATUS_OK) {
    omomi_schema_close(*out_schema);
    *out_schema = NULL;
  }
  return status;
}

#endif /* GENERATED_CTR_H */

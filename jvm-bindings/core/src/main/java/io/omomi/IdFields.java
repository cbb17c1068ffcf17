package io.omomi;

/**
 * Id fields of one side that are set together, for a server that has a candidate's ids in an array: made once and kept, like a
 * {@link Field}. The order of the fields is that of the ids in the array, and their own: another order of declaration than that
 * of the array is refused here, and not found out by wrong scores.
 */
public final class IdFields {
    final Schema schema;
    final Side side;
    /** As {@link Field#use} of each. */
    final Object use;
    final int count;
    /** Where the first one's slot is, counted in words from the row's start; the others follow. */
    final int firstSlotWord;
    /** Their bits in the row's masks. */
    final long bits;

    private IdFields(Field first, int count, long bits) {
        this.schema = first.schema;
        this.side = first.side();
        this.use = first.use;
        this.count = count;
        this.firstSlotWord = first.slotWord;
        this.bits = bits;
    }

    /**
     * The {@code fields}, which are of type id, not many, of one side of one schema, and declared in this order with no other
     * field of that side between them.
     *
     * @throws OmomiException with {@link Code#WRONG_FIELD_USE} if they are not, {@link Code#INVALID_ARGUMENT} for no fields
     */
    public static IdFields of(Field... fields) {
        if (fields == null) {
            throw OmomiException.nullArgument("fields");
        }
        if (fields.length == 0) {
            throw OmomiException.invalidArgument("fields", "expected one or more, found none");
        }
        long bits = 0;
        for (int i = 0; i < fields.length; i++) {
            Field field = fields[i];
            if (field == null) {
                throw OmomiException.nullArgument("a field");
            }
            if (field.type() != FieldType.ID || field.isMany()) {
                throw new OmomiException(
                        Code.WRONG_FIELD_USE,
                        "field `" + field.name() + "` was declared as " + field.declared() + ", but is used as an id");
            }
            if (i > 0) {
                checkFollows(fields[i - 1], field);
            }
            bits |= field.bit;
        }
        return new IdFields(fields[0], fields.length, bits);
    }

    /** How many fields they are, and so how many ids are read from an array. */
    public int count() {
        return count;
    }

    private static void checkFollows(Field before, Field field) {
        String pair = "field `" + field.name() + "` does not follow `" + before.name() + "`: ";
        if (field.schema != before.schema) {
            throw new OmomiException(Code.WRONG_FIELD_USE, pair + "they belong to two schemas");
        }
        if (field.side() != before.side()) {
            throw new OmomiException(
                    Code.WRONG_FIELD_USE,
                    pair + "it is a " + field.side().word() + " field, the other a " + before.side().word() + " field");
        }
        if (field.slotWord != before.slotWord + 1) {
            throw new OmomiException(
                    Code.WRONG_FIELD_USE, pair + "declare one behind the other what is to be set together, in the same order");
        }
    }
}

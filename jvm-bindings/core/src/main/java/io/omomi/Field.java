package io.omomi;

/** One declared field: ask {@link Schema#field} once and keep it, then setting a value needs no look-up by name. */
public final class Field {
    final Schema schema;
    /** Where its slot is, counted in words from the row's start. */
    final int slotWord;
    /** Its bit in the row's masks. */
    final long bit;
    /** Stands for schema, side, type and many, so that a setter checks all four with one comparison. */
    final Object use;

    private final String name;
    private final Side side;
    private final FieldType type;
    private final boolean many;
    private final String unit;
    private final double rangeMin;
    private final double rangeMax;

    Field(Schema schema, int slot, Schema.Declared declared) {
        this.schema = schema;
        this.slotWord = Block.ROW_SLOTS_OFFSET / Block.SLOT_LEN + slot;
        this.bit = 1L << slot;
        this.name = declared.name;
        this.side = declared.side;
        this.type = declared.type;
        this.many = declared.many;
        this.unit = declared.unit;
        this.rangeMin = declared.rangeMin;
        this.rangeMax = declared.rangeMax;
        this.use = schema.use(side, type, many);
    }

    /** Its name, as in the contract. */
    public String name() {
        return name;
    }

    /** Its side, as in the contract. */
    public Side side() {
        return side;
    }

    /** Its type, as in the contract. */
    public FieldType type() {
        return type;
    }

    /** Whether a row has zero or more values of it. */
    public boolean isMany() {
        return many;
    }

    /** The unit of a number, empty for the other types. */
    public String unit() {
        return unit;
    }

    /** Lower end of the range of a number, 0 for the other types. */
    public double rangeMin() {
        return rangeMin;
    }

    /** Upper end of the range of a number, 0 for the other types. */
    public double rangeMax() {
        return rangeMax;
    }

    /** How it was declared, for instance {@code a context field of type text, many}. */
    String declared() {
        return "a " + side.word() + " field of type " + type.word() + (many ? ", many" : "");
    }

    @Override
    public String toString() {
        return name + ": " + declared();
    }
}

package io.omomi;

/** The type of a field. */
public enum FieldType {
    /** A 64-bit integer. */
    ID("id"),
    /** UTF-8 text, or its value from {@link Feature#textValue}. */
    TEXT("text"),
    /** A double in the field's unit. */
    NUMBER("number");

    private final String word;

    FieldType(String word) {
        this.word = word;
    }

    /** Returns {@code id}, {@code text} or {@code number}, as in a contract. */
    public String word() {
        return word;
    }
}

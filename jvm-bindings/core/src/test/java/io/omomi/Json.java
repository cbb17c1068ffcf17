package io.omomi;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A small parser for the JSON of a weight file. Integers become {@code Long}, other numbers {@code Double}. */
final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    static Object parse(String text) {
        return new Json(text).value();
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> map(Object value) {
        return (Map<String, Object>) value;
    }

    @SuppressWarnings("unchecked")
    static List<Object> list(Object value) {
        return (List<Object>) value;
    }

    static double number(Object value) {
        return ((Number) value).doubleValue();
    }

    private Object value() {
        char c = next();
        switch (c) {
            case '{' -> {
                Map<String, Object> map = new LinkedHashMap<>();
                while (next() != '}') {
                    at -= text.charAt(at - 1) == ',' ? 0 : 1;
                    expect('"');
                    String key = string();
                    expect(':');
                    map.put(key, value());
                }
                return map;
            }
            case '[' -> {
                List<Object> list = new ArrayList<>();
                while (next() != ']') {
                    at -= text.charAt(at - 1) == ',' ? 0 : 1;
                    list.add(value());
                }
                return list;
            }
            case '"' -> {
                return string();
            }
            default -> {
                int start = at - 1;
                while (at < text.length() && ",]} \n".indexOf(text.charAt(at)) < 0) {
                    at++;
                }
                return literal(text.substring(start, at));
            }
        }
    }

    private static Object literal(String word) {
        return switch (word) {
            case "true" -> true;
            case "false" -> false;
            case "null" -> null;
            default -> word.matches("-?[0-9]+") ? (Object) Long.valueOf(word) : (Object) Double.valueOf(word);
        };
    }

    private String string() {
        StringBuilder string = new StringBuilder();
        for (char c = text.charAt(at++); c != '"'; c = text.charAt(at++)) {
            if (c != '\\') {
                string.append(c);
                continue;
            }
            char escaped = text.charAt(at++);
            switch (escaped) {
                case 'u' -> {
                    string.append((char) Integer.parseInt(text.substring(at, at + 4), 16));
                    at += 4;
                }
                case 'n' -> string.append('\n');
                case 't' -> string.append('\t');
                case 'r' -> string.append('\r');
                case 'b' -> string.append('\b');
                case 'f' -> string.append('\f');
                default -> string.append(escaped);
            }
        }
        return string.toString();
    }

    private char next() {
        while (Character.isWhitespace(text.charAt(at))) {
            at++;
        }
        return text.charAt(at++);
    }

    private void expect(char expected) {
        char found = next();
        if (found != expected) {
            throw new IllegalStateException("expected " + expected + " at " + at + ", found " + found);
        }
    }
}

package io.omomi;

import java.nio.file.Path;
import java.util.Map;

/** The weight file of {@code tests/jvm}, which creates it and calls Maven, and the matching declaration. */
final class Fixture {
    static final Schema SCHEMA = Schema.builder()
            .id("media_id", Side.CONTEXT)
            .text("region", Side.CONTEXT)
            .texts("interest", Side.CONTEXT)
            .ids("segment_id", Side.CONTEXT)
            .number("floor_price", Side.CONTEXT, "JPY per 1,000 impressions", 0, 1000)
            .id("creative_id", Side.CANDIDATE)
            .text("category", Side.CANDIDATE)
            .texts("label", Side.CANDIDATE)
            .ids("campaign_id", Side.CANDIDATE)
            .number("creative_age", Side.CANDIDATE, "hours", 0, 2400)
            // Unknown to the model: a server may declare more than a model reads.
            .text("memo", Side.CANDIDATE)
            .build();

    static final Field MEDIA_ID = SCHEMA.field("media_id");
    static final Field REGION = SCHEMA.field("region");
    static final Field INTEREST = SCHEMA.field("interest");
    static final Field SEGMENT_ID = SCHEMA.field("segment_id");
    static final Field FLOOR_PRICE = SCHEMA.field("floor_price");
    static final Field CREATIVE_ID = SCHEMA.field("creative_id");
    static final Field CATEGORY = SCHEMA.field("category");
    static final Field LABEL = SCHEMA.field("label");
    static final Field CAMPAIGN_ID = SCHEMA.field("campaign_id");
    static final Field CREATIVE_AGE = SCHEMA.field("creative_age");

    static final RequestLayout LAYOUT = RequestLayout.of(SCHEMA, 500, 64 << 10);

    private Fixture() {}

    static Path weightFile() {
        return path("omomi.test.weight.file");
    }

    static Path path(String property) {
        String path = System.getProperty(property, "");
        if (path.isEmpty()) {
            throw new IllegalStateException(property + " is not set: run these tests by `cargo test --test jvm`");
        }
        return Path.of(path);
    }

    static Model model() {
        return Model.open(weightFile());
    }

    /** Returns a declaration of exactly the fields of a contract. */
    static Schema schemaOf(String contract) {
        return declare(Schema.builder(), contract).build();
    }

    /** Adds the fields of a contract to a declaration, in the contract's order. */
    static Schema.Builder declare(Schema.Builder builder, String contract) {
        for (Object one : Json.list(Json.map(Json.parse(contract)).get("field"))) {
            Map<String, Object> field = Json.map(one);
            String name = (String) field.get("name");
            Side side = Side.valueOf(((String) field.get("side")).toUpperCase());
            boolean many = (Boolean) field.get("many");
            switch ((String) field.get("type")) {
                case "id" -> {
                    if (many) {
                        builder.ids(name, side);
                    } else {
                        builder.id(name, side);
                    }
                }
                case "text" -> {
                    if (many) {
                        builder.texts(name, side);
                    } else {
                        builder.text(name, side);
                    }
                }
                default -> {
                    var range = Json.list(field.get("range"));
                    builder.number(name, side, (String) field.get("unit"), Json.number(range.get(0)), Json.number(range.get(1)));
                }
            }
        }
        return builder;
    }

    /** Fills a request that sets every field, with Japanese texts. Candidate {@code i} differs from the others. */
    static void fill(Request request, int candidates, Text text) {
        fillContext(request, text);
        for (int i = 0; i < candidates; i++) {
            fillCandidate(request.candidate(i), i, text);
        }
    }

    static void fillContext(Request request, Text text) {
        request.clear();
        request.context()
                .setId(MEDIA_ID, 3)
                .setText(REGION, "東京都")
                .setTexts(INTEREST, text.interests, text.interests.length)
                .setIds(SEGMENT_ID, text.segments, text.segments.length)
                .setNumber(FLOOR_PRICE, 120.5);
    }

    static void fillCandidate(Row row, int i, Text text) {
        row.setId(CREATIVE_ID, i)
                .setTextValue(CATEGORY, text.categoryValue)
                .setTexts(LABEL, text.labels)
                .setIds(CAMPAIGN_ID, text.segments, 1)
                .setNumber(CREATIVE_AGE, i);
    }

    /** Returns a set with the candidates of {@link #fill} at their indices, and room for ten more. */
    static CandidateSet candidateSet(int candidates, Text text) {
        CandidateSet set = CandidateSet.open(SCHEMA, candidates + 10, 8);
        for (int i = 0; i < candidates; i++) {
            int creative = i;
            set.put(i, row -> fillCandidate(row, creative, text));
        }
        return set;
    }

    /** The texts that a caller keeps between requests. */
    static final class Text {
        final String[] interests = {"旅行", "スポーツ", "料理", "未知の分野"};
        final java.util.List<String> labels = new java.util.ArrayList<>(java.util.List.of("新着", "sale"));
        final long[] segments = {1, 2, Long.MIN_VALUE};
        final long categoryValue = Feature.textValue("自動車");
    }
}

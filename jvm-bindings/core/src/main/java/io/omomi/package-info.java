/**
 * Scores ads with an omomi weight file without keeping a single weight on the heap.
 *
 * <p>A server declares its fields once ({@link io.omomi.Schema}), opens a weight file ({@link io.omomi.Model}) and
 * gives each scoring thread its own {@link io.omomi.Scorer}. A request (one context, many candidates) is written into
 * the scorer's {@link io.omomi.Request}, and {@link io.omomi.Scorer#predict} answers it in place. Scoring allocates
 * nothing.
 *
 * <pre>{@code
 * Schema schema = Schema.builder()
 *     .id("media_id", Side.CONTEXT)
 *     .texts("interest", Side.CONTEXT)
 *     .id("creative_id", Side.CANDIDATE)
 *     .build();
 * Field mediaId = schema.field("media_id");
 * Field creativeId = schema.field("creative_id");
 * RequestLayout layout = RequestLayout.of(schema, 500, 4096);
 *
 * try (Model model = Model.open(Paths.get("000042.omomi")); Scorer scorer = Scorer.open(model, layout)) {
 *     Request request = scorer.request();
 *     request.clear();
 *     request.context().setId(mediaId, 7);
 *     for (int i = 0; i < creatives.length; i++) {
 *         request.candidate(i).setId(creativeId, creatives[i]);
 *     }
 *     scorer.predict(creatives.length);
 *     float probability = scorer.probability(0);
 * }
 * }</pre>
 *
 * <p>A server that runs for months follows a store instead of opening files: see {@link io.omomi.LiveModel} and {@link
 * io.omomi.LiveScorer}.
 *
 * <p>What was served is written to a log, from which the next model learns: see {@link io.omomi.ServingLog}.
 *
 * <p>Every error is an {@link io.omomi.OmomiException} with a stable code, the side that must act, and what to do.
 *
 * <p>No method takes or returns null, unless it says so by {@link org.jspecify.annotations.Nullable}: a null argument
 * is an {@code OmomiException} with {@link io.omomi.Code#NULL_ARGUMENT}.
 */
@NullMarked
package io.omomi;

import org.jspecify.annotations.NullMarked;

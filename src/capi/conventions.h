/*
 * omomi: click-through-rate scoring, for C and C++.
 *
 * Made by cbindgen from src/capi of the crate omomi; change it there, not here.
 *
 * CONVENTIONS
 *
 * Calls.     Every call that can fail returns an OmomiStatus: OMOMI_STATUS_OK (0) or the number of an error. First comes
 *            the handle, then inputs, then outputs, last the error. Outputs are written on success only. A probability
 *            is never an error code.
 * Errors.    The last argument is an OmomiError of yours, or NULL if the status is enough. A call that fails writes
 *            status, owner (who must act) and a message into it; a call that succeeds leaves it alone.
 * Null.      NULL for a pointer that is needed is OMOMI_STATUS_NULL_ARGUMENT. Arrays and texts of length 0 may be NULL.
 * Panics.    A defect in the library is OMOMI_STATUS_PANIC and never ends your process; omomi_test_panic() proves it.
 * Structs.   Where a struct begins with size_bytes, set it to the struct's sizeof before the call, for outputs as well.
 *            Another size is OMOMI_STATUS_WRONG_SIZE: your code was compiled with another header.
 * Texts.     Texts that you pass are UTF-8 with a length in bytes, and need no null byte. Texts that you get are copied
 *            into your buffer with a null byte behind them: pass NULL and a capacity of 0 to learn the length, which does
 *            not count that byte. Functions that return a const char * return static text.
 * Ownership. A handle that an ..._open or ..._of_model call gave you goes back through the ..._close of its type, once.
 *            Closing NULL does nothing. Handles keep what they need of each other, so any order of closing is right.
 *            The library keeps no pointer of yours after a call.
 * Threads.   Any number of threads may use one model, live model, schema, layout or candidate set at once. Open one scorer,
 *            and keep one request block, for each thread; a scorer that is in use answers OMOMI_STATUS_SCORER_BUSY. No call may race
 *            with the close of its handle.
 * Cost.      omomi_scorer_predict, omomi_live_scorer_predict, both with _within, and the static inline functions allocate
 *            nothing, lock nothing and wait for nothing, also on a thread's first call, also when they fail, also while
 *            another thread changes a candidate set or a generation. All other calls, and the two inline functions that change a candidate set, are for
 *            start-up, for tools and for threads that serve no request.
 * Undefined. A handle that was closed, memory that is shorter than you say, and a struct that another thread writes
 *            meanwhile cannot be told from good ones: as everywhere in C, they are yours to avoid. A request block that
 *            another thread writes during predict costs only its answers.
 *
 * EXAMPLE    (error checks left out; tests/c/example.c is complete)
 *
 *     OmomiField fields[] = {
 *         omomi_id_field("media_id", OMOMI_SIDE_CONTEXT),
 *         omomi_id_field("creative_id", OMOMI_SIDE_CANDIDATE),
 *     };
 *     OmomiError error = OMOMI_ERROR_INIT;
 *     OmomiOffsets offsets = OMOMI_OFFSETS_INIT;
 *     omomi_schema_open(fields, 2, &schema, &error);                      once, when the server starts
 *     omomi_schema_slot(schema, "media_id", 8, &media_id, &error);
 *     omomi_schema_slot(schema, "creative_id", 11, &creative_id, &error);
 *     omomi_layout_open(schema, 500, 4096, &layout, &error);
 *     omomi_layout_offsets(layout, &offsets, &error);
 *     omomi_model_open(path, strlen(path), NULL, &model, &error);         for each generation
 *     omomi_scorer_open(model, layout, &scorer, &error);                  for each thread
 *     omomi_request_init(&request, &offsets, malloc(offsets.len_bytes), offsets.len_bytes);
 *
 *     omomi_request_clear(&request);                                      for each request
 *     omomi_set_id(omomi_context_row(&request), media_id, 17);
 *     omomi_set_id(omomi_candidate_row(&request, 0), creative_id, 4001);
 *     omomi_set_id(omomi_candidate_row(&request, 1), creative_id, 4002);
 *     if (omomi_request_predict(scorer, &request, 2, &error) == OMOMI_STATUS_OK)
 *         printf("%g\n", omomi_request_answer(&request, 1).probability);
 *
 * PREPARED   Creatives live for hours: hand their rows over once, and let requests name them by index. The answers are the
 * CANDIDATES same, bit for bit, for a fraction of the time.
 *
 *     OmomiLayoutOptions options = OMOMI_LAYOUT_OPTIONS_INIT;
 *     omomi_candidate_set_open(layout, 10000, 8, &set, &error);           once; layout and request as above
 *     options.candidate_capacity = 500, options.candidates = OMOMI_CANDIDATES_PREPARED;
 *     omomi_layout_open_with(schema, &options, &prepared_layout, &error);
 *     const OmomiModel *models[] = {model};                               or several, for one call each request
 *     omomi_scorer_open_with(models, 1, prepared_layout, set, &prepared_scorer, &error);
 *
 *     omomi_set_id(omomi_candidate_row(&request, 0), creative_id, 4001);  for each creative, by any thread, at any time
 *     omomi_request_add_to_set(set, &request, 0, &index_of_4001, &error);
 *
 *     omomi_request_clear(&prepared_request);                             for each request
 *     omomi_set_id(omomi_context_row(&prepared_request), media_id, 17);
 *     omomi_request_set_candidate(&prepared_request, 0, index_of_4001);
 *     omomi_request_predict_within(prepared_scorer, &prepared_request, 1, 2000, &error);     2 ms at most
 *
 * LIVE       A server that runs for months follows a store, the directory that `omomi publish` writes to. A thread of the
 * SERVING    library verifies what is published there, and a request is answered by the last good generation, whatever
 *            happens to the newest. There may be none yet, and people may switch scoring off: both are statuses, not
 *            failures, and a server that has an answer of its own never stops for them.
 *
 *     OmomiLiveOptions options = OMOMI_LIVE_OPTIONS_INIT;
 *     options.name = "ad-server-1", options.name_len_bytes = 11;          another one for each process
 *     omomi_live_open("/feed-ctr", 9, schema, &options, &live, &error);   once; schema, layout and request as above
 *     omomi_live_scorer_open(live, layout, NULL, &live_scorer, &error);   for each thread, good for every generation
 *
 *     switch (omomi_request_predict_live(live_scorer, &request, 2, &error)) {                for each request
 *     case OMOMI_STATUS_OK:           rank by omomi_request_answer; log omomi_request_outcome(&request).generation
 *     case OMOMI_STATUS_NO_MODEL:     no generation could be served yet: rank without one
 *     case OMOMI_STATUS_SWITCHED_OFF: people have switched scoring off: rank without it
 *     default:                        the call was wrong, and error.message says how
 *     }
 *
 *            omomi_live_status, omomi_live_metrics and omomi_live_prometheus say how it goes: who answers since when, what is not as
 *            it should be and who must act, whether a health check should pass.
 */

#ifndef OMOMI_H
#define OMOMI_H

/* SPDX-License-Identifier: MIT
 *
 * Answers that are made while they are sent: a result that is too large to be copied, and the events of a job. libmicrohttpd asks
 * for more when it has sent what there was; then the scheduler is asked, and the connection sleeps until it has answered.
 */
#include "service/internal.h"

#include "util/error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)256 << 10)

typedef struct stream {
    mni_server_t *server;
    struct MHD_Connection *connection;
    mn_id_t id;
    bool events;             /* else a result */
    uint64_t yields, offset; /* of the result; bytes asked for so far */
    uint64_t seen;           /* version that was told last */
    mni_writer_t frame;
    char *bytes; /* what there is to send */
    size_t size, sent;
    bool ended;  /* nothing more comes */
    bool failed; /* it cannot go on */
} stream_t;

static void stream_free(void *argument)
{
    stream_t *stream = argument;

    mni_writer_fini(&stream->frame);
    free(stream->bytes);
    free(stream);
}

/* --- what there is next ------------------------------------------------------------------------------------------------ */

/* An event of a look: what follows replaces what has been sent. */
static bool tell(stream_t *stream, const mni_msg_look_t *look)
{
    bool ended = mn_status_terminal(look->info.status);
    mni_text_t text;

    free(stream->bytes);
    stream->bytes = NULL;
    stream->sent = stream->size = 0;
    if (mni_text_open(&text) < 0)
        return false;
    fprintf(text.to, "id: %" PRIu64 "\nevent: %s\ndata: ", look->info.version,
            ended ? "end" : "state");
    bool good = mni_print_look(text.to, look) == 0;
    fputs("\n\n", text.to);
    if (fclose(text.to) != 0 || !good) {
        free(text.bytes);
        return false;
    }
    stream->bytes = text.bytes;
    stream->size = text.size;
    stream->seen = look->info.version;
    stream->ended = ended;
    return true;
}

static bool say(stream_t *stream, const char *text)
{
    free(stream->bytes);
    stream->bytes = strdup(text);
    stream->sent = 0;
    stream->size = stream->bytes ? strlen(text) : 0;
    return stream->bytes != NULL;
}

static bool take_event(stream_t *stream, int code, mni_reader_t *reader)
{
    if (code == MN_E_TIMEOUT)
        return say(stream, ":\n\n"); /* a sign of life, by which one sees who has gone */
    if (code == MN_E_NO_JOB) {
        stream->ended = true;
        return say(stream, "event: removed\ndata: {}\n\n");
    }
    if (code < 0)
        return false;
    mni_msg_look_t look = mni_get_look(reader);
    return mni_reader_end(reader) == 0 && tell(stream, &look);
}

static bool take_part(stream_t *stream, int code, mni_reader_t *reader)
{
    size_t size = 0;

    if (code < 0)
        return false;
    const void *bytes = mni_get_bytes(reader, &size);
    if (mni_reader_end(reader) < 0 || size == 0)
        return false;
    free(stream->bytes);
    stream->sent = stream->size = 0;
    if (!(stream->bytes = malloc(size)))
        return false;
    memcpy(stream->bytes, bytes, size);
    stream->size = size;
    stream->offset += size;
    return true;
}

/* In the desk's thread, while the connection sleeps. */
static void take_reply(void *argument, const void *frame, size_t size)
{
    stream_t *stream = argument;
    mni_reader_t reader;

    stream->failed = true;
    if (frame && mni_reader_begin(&reader, frame, size) == 0) {
        int32_t code = mni_get_i32(&reader);
        mni_get_text(&reader);
        stream->failed =
            stream->events ? !take_event(stream, code, &reader) : !take_part(stream, code, &reader);
    } else if (!frame && stream->events) {
        /* The runtime ends; the job stays as it is in the store. */
        stream->ended = true;
        stream->failed = !say(stream, "event: stopped\ndata: {}\n\n");
    }
    MHD_resume_connection(stream->connection);
}

static void ask_more(stream_t *stream)
{
    mni_writer_t *writer = &stream->frame;

    mni_writer_begin(writer, stream->events ? MNI_MSG_LOOK : MNI_MSG_PART, 0);
    mni_put_id(writer, stream->id);
    if (stream->events) {
        mni_put_u64(writer, stream->seen);
        mni_put_f64(writer, MNI_HEARTBEAT);
        mni_put_u32(writer, MNI_SHOWN_MOST);
    } else {
        mni_put_u8(writer, 0);
        mni_put_u64(writer, stream->yields);
        mni_put_u64(writer, stream->offset);
        mni_put_u32(writer, MNI_PART_BYTES);
    }
    MHD_suspend_connection(stream->connection);
    mni_desk_ask(stream->server->desk, writer, take_reply, stream);
}

static ssize_t read_more(void *argument, uint64_t position, char *to, size_t most)
{
    stream_t *stream = argument;
    size_t left = stream->size - stream->sent;

    (void)position;
    if (stream->failed)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (left == 0 && stream->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (left == 0) {
        ask_more(stream);
        return 0;
    }
    if (left > most)
        left = most;
    memcpy(to, stream->bytes + stream->sent, left);
    stream->sent += left;
    return (ssize_t)left;
}

/* --- the beginning ----------------------------------------------------------------------------------------------------- */

static stream_t *stream_create(mni_exchange_t *exchange)
{
    stream_t *made = calloc(1, sizeof *made);

    if (!made) {
        mni_error(MN_E_NO_MEMORY, "no memory for an answer");
        return NULL;
    }
    made->server = exchange->server;
    made->connection = exchange->connection;
    made->id = exchange->id;
    return made;
}

static int answer_with(mni_exchange_t *exchange, stream_t *stream, uint64_t size)
{
    exchange->response =
        MHD_create_response_from_callback(size, BLOCK, read_more, stream, stream_free);
    exchange->status = MHD_HTTP_OK;
    if (exchange->response)
        return 0;
    stream_free(stream);
    return mni_error(MN_E_NO_MEMORY, "no memory for an answer");
}

int mni_stream_result(mni_exchange_t *exchange, const mni_msg_look_t *look)
{
    stream_t *stream = stream_create(exchange);

    if (!stream)
        return MN_E_NO_MEMORY;
    stream->yields = look->info.yields;
    int rc = answer_with(exchange, stream, look->result.size);
    if (rc == 0)
        mni_value_headers(exchange->response, look);
    return rc;
}

int mni_stream_events(mni_exchange_t *exchange, const mni_msg_look_t *look)
{
    const char *last =
        MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, "Last-Event-ID");
    stream_t *stream = stream_create(exchange);

    if (!stream)
        return MN_E_NO_MEMORY;
    stream->events = true;
    stream->seen = look->info.version;
    bool known = last && last[0] >= '0' && last[0] <= '9' &&
                 strtoull(last, NULL, 10) == look->info.version &&
                 !mn_status_terminal(look->info.status);
    if (!known && !tell(stream, look)) {
        stream_free(stream);
        return mni_error(MN_E_NO_MEMORY, "no memory for an answer");
    }
    int rc = answer_with(exchange, stream, MHD_SIZE_UNKNOWN);
    if (rc == 0)
        MHD_add_response_header(exchange->response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                "text/event-stream");
    return rc;
}

// SPDX-License-Identifier: Apache-2.0
//
// Plays many card clients, or many user clients, in one thread, so that what is measured is the
// server and not its clients.
//
//   driver cards|users wsrc|first|raw HOST PORT COUNT [NAME=VALUE ...]
//
//   ca=FILE        connect with TLS 1.3 and check the certificate with this CA
//   cert=FILE      with key=FILE: for `listen`, the certificate of the listener
//   listen=1       raw cards wait for connections on PORT instead of making them
//   greet=1        raw clients say their role and number in a line, and wait for "ok"
//   deflate=1      offer permessage-deflate; what is sent goes in stored blocks
//   first=N        number of the first client, which is in the ICCID of its card (default 0)
//   parallel=N     connections that are being made at a time (default 64)
//   command=HEX    command APDU (default READ BINARY of 10 octets)
//   octets=N       raw: octets of a command, and of an answer (default 170)
//   sealed=1       wsrc: commands and answers as long as sealed ones, which nobody can open
//
// It takes commands from standard input and answers each with one line of JSON:
//
//   open                          connect all; how long it took until each could be used
//   run SECONDS ACTIVE PAUSE_US   ACTIVE users send commands, one at a time each
//   times COUNT                   one user sends so many commands
//   shut                          break all connections
//   counts                        commands that were answered, pings, connections lost
//
// The end of standard input ends it.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum state { CLOSED, CONNECTING, SECURING, UPGRADING, GREETING, SELECTING, READY };
enum dialect { WSRC, FIRST, RAW };

struct conn {
    int fd, number;
    enum state state;
    SSL *ssl;
    unsigned char in[8192], out[8192];
    size_t in_len, out_len, raw_due;
    bool wants_write, busy;
    uint64_t seq, sent_at, next_at;
    char session[80];
};

#define SUB 256
#define BUCKETS (40 * SUB)

static struct conn *conns;
static int count, epoll_fd, parallel = 64, opening, unopened, ready, listener = -1;
static bool is_card, greet, deflate_on, listening, open_asked;
static enum dialect dialect;
static struct sockaddr_in server;
static SSL_CTX *tls;
static size_t raw_octets = 170;
static const char *command_hex = "00b000000a";
static bool sealed;
static char box_asked[93], box_said[125];  // as long as those of READ BINARY of 10 octets
static uint64_t opened_at, run_until, started_at, pause_ns, left, answered, pings, lost, retries;
static uint64_t histogram[BUCKETS], run_count, run_max;
static int active;
static bool running;
static uint32_t noise = 2463534242u;

static void fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "driver: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint32_t draw(void) {
    noise ^= noise << 13;
    noise ^= noise >> 17;
    noise ^= noise << 5;
    return noise;
}

// Times: buckets of 1/256 of a power of two.

static size_t bucket(uint64_t value) {
    if (value < SUB) return value;
    int shift = 63 - __builtin_clzll(value) - 8;
    size_t index = (size_t)(shift + 1) * SUB + ((value >> shift) - SUB);
    return index < BUCKETS ? index : BUCKETS - 1;
}

static double value_of(size_t index) {
    if (index < SUB) return (double)index;
    size_t shift = index / SUB - 1;
    return ((double)(index % SUB + SUB) + 0.5) * (double)(1ull << shift);
}

static double percentile(double part) {
    uint64_t seen = 0, wanted = (uint64_t)(part * (double)run_count);
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if (seen > wanted) return value_of(i) / 1000.0;
    }
    return 0;
}

// Connections.

static void start(struct conn *c);
static void act(struct conn *c);
static void receive(struct conn *c);

static void watch(struct conn *c, bool write) {
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event)) fail("epoll: %s", strerror(errno));
    c->wants_write = write;
}

static void drop(struct conn *c) {
    if (c->ssl) SSL_free(c->ssl);
    if (c->fd >= 0) close(c->fd);
    c->ssl = NULL;
    c->fd = -1;
    c->in_len = c->out_len = c->raw_due = 0;
    c->state = CLOSED;
}

static void broken(struct conn *c, const char *why) {
    enum state was = c->state;
    drop(c);
    if (was == READY) {
        lost++;
        ready--;
        if (!is_card) fail("user %d lost its connection: %s", c->number, why);
    } else if (was != CLOSED && !listening) {
        opening--;
        unopened++;
        c->next_at = now() + 100000000u;
        if (++retries > 20u * (uint64_t)count) fail("cannot connect: %s", why);
    }
}

static void flush(struct conn *c) {
    while (c->out_len) {
        ssize_t sent;
        if (c->ssl) {
            sent = SSL_write(c->ssl, c->out, (int)c->out_len);
            if (sent <= 0) {
                int error = SSL_get_error(c->ssl, (int)sent);
                ERR_clear_error();
                if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ) break;
                broken(c, "cannot write");
                return;
            }
        } else {
            sent = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
            if (sent < 0) {
                if (errno == EAGAIN) break;
                broken(c, strerror(errno));
                return;
            }
        }
        memmove(c->out, c->out + sent, c->out_len - (size_t)sent);
        c->out_len -= (size_t)sent;
    }
    if ((c->out_len > 0) != c->wants_write) watch(c, c->out_len > 0);
}

static void put(struct conn *c, const void *octets, size_t length) {
    if (c->out_len + length > sizeof c->out) fail("client %d has too much to send", c->number);
    memcpy(c->out + c->out_len, octets, length);
    c->out_len += length;
}

static void frame(struct conn *c, int opcode, const void *payload, size_t length) {
    unsigned char head[14], body[4096];
    size_t at = 0, total = length;
    bool stored = deflate_on && opcode == 1;
    if (length + 8 > sizeof body) fail("a message is too long");
    if (stored) {  // RFC 7692: a stored block, and the header of an empty one
        body[0] = 0;
        body[1] = (unsigned char)length, body[2] = (unsigned char)(length >> 8);
        body[3] = (unsigned char)~body[1], body[4] = (unsigned char)~body[2];
        memcpy(body + 5, payload, length);
        body[5 + length] = 0;
        total = length + 6;
    } else {
        memcpy(body, payload, length);
    }
    head[at++] = (unsigned char)(0x80 | (stored ? 0x40 : 0) | opcode);
    if (total < 126) {
        head[at++] = (unsigned char)(0x80 | total);
    } else {
        head[at++] = 0x80 | 126;
        head[at++] = (unsigned char)(total >> 8);
        head[at++] = (unsigned char)total;
    }
    uint32_t mask = draw();
    unsigned char key[4];
    memcpy(key, &mask, 4);
    memcpy(head + at, key, 4);
    for (size_t i = 0; i < total; i++) body[i] ^= key[i & 3];
    put(c, head, at + 4);
    put(c, body, total);
}

__attribute__((format(printf, 2, 3)))
static void say(struct conn *c, const char *format, ...) {
    char text[2048];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof text) fail("a message is too long");
    frame(c, 1, text, (size_t)length);
}

// What is said.

static bool is(const char *text, const char *type) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"msg_type\":\"%s\"", type);
    return strstr(text, wanted) != NULL;
}

static long long number_of(const char *text, const char *field) {
    char wanted[32];
    snprintf(wanted, sizeof wanted, "\"%s\":", field);
    const char *at = strstr(text, wanted);
    return at ? atoll(at + strlen(wanted)) : -1;
}

static void session_of(const char *text, char *session, size_t size) {
    const char *at = strstr(text, "\"session\":\"");
    if (!at) fail("a message has no session: %.300s", text);
    at += 11;
    size_t length = strcspn(at, "\"");
    if (length >= size) fail("a session is too long: %.300s", text);
    memcpy(session, at, length);
    session[length] = 0;
}

static void became_ready(struct conn *c) {
    c->state = READY;
    ready++;
    if (!listening) opening--;
}

static void say_hello(struct conn *c) {
    c->state = GREETING;
    if (dialect == RAW) {
        char line[32];
        int length = snprintf(line, sizeof line, "%s %d\n", is_card ? "card" : "user", c->number);
        put(c, line, (size_t)length);
    } else if (is_card && dialect == FIRST) {
        say(c, "{\"msg_type\": \"hello\", \"client_type\": \"card\", "
               "\"identities\": {\"ICCID\": \"8988211%012d\"}}", c->number);
    } else if (is_card) {
        say(c, "{\"msg_type\":\"hello\",\"client_type\":\"card\",\"version\":1,"
               "\"features\":[\"batch\",\"cancel\",\"pcsc\",\"raw_tpdu\",\"resume\",\"seal\","
               "\"share\"],\"name\":\"host-%d\",\"instance\":\"%08x%08x%08x\",\"readers\":[{\"reader\":"
               "\"Reader 00 00@host-%d\",\"name\":\"Reader 00 00\",\"state\":\"ready\","
               "\"insertion\":1,\"atr\":\"3b9c96801fc78031e073fe215364575352438d\","
               "\"protocol\":\"T0\",\"iccid\":\"8988211%012d\"}]}",
            c->number, draw(), draw(), draw(), c->number, c->number);
    } else if (dialect == FIRST) {
        say(c, "{\"msg_type\": \"hello\", \"client_type\": \"user\"}");
    } else {
        say(c, "{\"msg_type\":\"hello\",\"id\":1,\"client_type\":\"user\",\"version\":1,"
               "\"features\":[\"resume\"],\"name\":\"user-%d\"}", c->number);
    }
}

static void select_card(struct conn *c) {
    c->state = SELECTING;
    if (dialect == FIRST)
        say(c, "{\"msg_type\": \"select_card\", \"ICCID\": \"8988211%012d\"}", c->number);
    else
        say(c, "{\"msg_type\":\"select_card\",\"id\":2,\"iccid\":\"8988211%012d\",\"wait_s\":10,"
               "\"secret\":\"%08x%08x%08x%08x\",\"keep_s\":30}",
            c->number, draw(), draw(), draw(), draw());
}

static void send_command(struct conn *c) {
    c->busy = true;
    c->seq++;
    if (dialect == RAW) {
        unsigned char octets[4096];
        memset(octets, 'c', raw_octets);
        put(c, octets, raw_octets);
        c->raw_due = raw_octets;
    } else if (dialect == FIRST) {
        say(c, "{\"msg_type\": \"c_apdu\", \"command\": \"%s\"}", command_hex);
    } else if (sealed) {
        say(c, "{\"msg_type\":\"sealed\",\"id\":%llu,\"seq\":%llu,\"session\":\"%s\","
               "\"of\":\"c_apdu\",\"box\":\"%s\"}",
            (unsigned long long)c->seq + 2, (unsigned long long)c->seq, c->session, box_asked);
    } else {
        say(c, "{\"msg_type\":\"c_apdu\",\"id\":%llu,\"seq\":%llu,\"command\":\"%s\","
               "\"session\":\"%s\"}",
            (unsigned long long)c->seq + 2, (unsigned long long)c->seq, command_hex, c->session);
    }
    c->sent_at = now();
    flush(c);
}

static void answer(struct conn *c, const char *text) {
    answered++;
    if (dialect == FIRST) {
        say(c, "{\"msg_type\": \"r_apdu\", \"response\": \"988812010000400310f0\", "
               "\"sw\": \"9000\"}");
        return;
    }
    char session[80];
    session_of(text, session, sizeof session);
    if (sealed) {
        say(c, "{\"msg_type\":\"sealed_resp\",\"id\":%lld,\"seq\":%lld,\"session\":\"%s\","
               "\"of\":\"r_apdu\",\"box\":\"%s\"}",
            number_of(text, "id"), number_of(text, "seq"), session, box_said);
        return;
    }
    say(c, "{\"msg_type\":\"r_apdu\",\"id\":%lld,\"seq\":%lld,"
           "\"response\":\"988812010000400310f0\",\"sw\":\"9000\",\"session\":\"%s\"}",
        number_of(text, "id"), number_of(text, "seq"), session);
}

static void finish_run(void) {
    double seconds = (double)(now() - started_at) / 1e9;
    running = false;
    printf("{\"apdus\": %llu, \"seconds\": %.6f, \"p50_us\": %.2f, \"p99_us\": %.2f, "
           "\"max_us\": %.2f}\n",
        (unsigned long long)run_count, seconds, percentile(0.5), percentile(0.99),
        (double)run_max / 1000.0);
    fflush(stdout);
}

static void response_came(struct conn *c) {
    uint64_t at = now(), took = at - c->sent_at;
    if (!c->busy) return;
    c->busy = false;
    answered++;
    run_count++;
    histogram[bucket(took)]++;
    if (took > run_max) run_max = took;
    if (left ? run_count < left : at < run_until) {
        c->next_at = at + pause_ns;
        if (!pause_ns) send_command(c);
        return;
    }
    for (int i = 0; i < active; i++)
        if (conns[i].busy) return;
    finish_run();
}

static void card_hears(struct conn *c, const char *text) {
    if (c->state == GREETING) {
        if (dialect == WSRC && !is(text, "hello_ack")) fail("no hello_ack: %.300s", text);
        became_ready(c);
    } else if (dialect == FIRST || is(text, sealed ? "sealed" : "c_apdu")) {
        answer(c, text);
    } else if (is(text, "attach")) {
        char session[80];
        session_of(text, session, sizeof session);
        say(c, "{\"msg_type\":\"attach_ack\",\"session\":\"%s\",\"keep_s\":%lld,"
               "\"atr\":\"3b9c96801fc78031e073fe215364575352438d\",\"protocol\":\"T0\"}",
            session, number_of(text, "keep_s") > 0 ? number_of(text, "keep_s") : 0);
    } else if (is(text, "detach")) {
        char session[80];
        session_of(text, session, sizeof session);
        say(c, "{\"msg_type\":\"detach_ack\",\"session\":\"%s\"}", session);
    } else {
        fail("card %d is told: %.300s", c->number, text);
    }
}

static void user_hears(struct conn *c, const char *text) {
    if (dialect == WSRC && is(text, "error")) fail("user %d is told: %.300s", c->number, text);
    if (c->state == GREETING) {
        select_card(c);
    } else if (c->state == SELECTING) {
        if (dialect == WSRC) {
            if (!is(text, "select_card_ack")) return;
            session_of(text, c->session, sizeof c->session);
        }
        became_ready(c);
    } else {
        response_came(c);
    }
}

// What comes in.

static size_t take_frame(struct conn *c, unsigned char *at, size_t length) {
    if (length < 2) return 0;
    size_t head = 2, size = at[1] & 0x7f;
    int opcode = at[0] & 0x0f;
    if (at[1] & 0x80) fail("a frame of the server is masked");
    if (!(at[0] & 0x80)) fail("a message is in fragments");
    if (size == 127) fail("a message is too long");
    if (size == 126) {
        if (length < 4) return 0;
        size = (size_t)at[2] << 8 | at[3];
        head = 4;
    }
    if (head + size + 1 > sizeof c->in) fail("a message is too long");
    if (length < head + size) return 0;
    unsigned char after = at[head + size];
    at[head + size] = 0;
    const char *text = (const char *)at + head;
    if (opcode == 9) {
        pings++;
        frame(c, 10, text, size);
    } else if (opcode == 8) {
        return SIZE_MAX;
    } else if (opcode == 1 || opcode == 2) {
        if (is_card) card_hears(c, text);
        else user_hears(c, text);
    }
    at[head + size] = after;
    return head + size;
}

static size_t take_raw(struct conn *c, const unsigned char *at, size_t length) {
    if (c->state == GREETING) {
        if (length < 3) return 0;
        if (memcmp(at, "ok\n", 3)) fail("the relay says %.10s", (const char *)at);
        became_ready(c);
        return 3;
    }
    if (length < raw_octets) return 0;
    if (is_card) {
        unsigned char octets[4096];
        memset(octets, 'r', raw_octets);
        put(c, octets, raw_octets);
        answered++;
    } else {
        response_came(c);
    }
    return raw_octets;
}

static size_t take_upgrade(struct conn *c, unsigned char *at, size_t length) {
    unsigned char *end = memmem(at, length, "\r\n\r\n", 4);
    if (!end) return 0;
    if (length < 12 || memcmp(at, "HTTP/1.1 101", 12)) {
        if (memcmp(at, "HTTP/1.1 503", 12)) fail("no upgrade: %.40s", (char *)at);
        return SIZE_MAX;
    }
    say_hello(c);
    return (size_t)(end - at) + 4;
}

static void digest(struct conn *c) {
    size_t at = 0;
    while (at < c->in_len) {
        size_t taken;
        if (c->state == UPGRADING) taken = take_upgrade(c, c->in + at, c->in_len - at);
        else if (dialect == RAW) taken = take_raw(c, c->in + at, c->in_len - at);
        else taken = take_frame(c, c->in + at, c->in_len - at);
        if (taken == SIZE_MAX) {
            broken(c, "the server closed it");
            return;
        }
        if (!taken) break;
        at += taken;
    }
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
    if (c->out_len) flush(c);
}

static void receive(struct conn *c) {
    for (;;) {
        ssize_t got;
        size_t room = sizeof c->in - 1 - c->in_len;
        if (c->ssl) {
            got = SSL_read(c->ssl, c->in + c->in_len, (int)room);
            if (got <= 0) {
                int error = SSL_get_error(c->ssl, (int)got);
                ERR_clear_error();
                if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
                    broken(c, "closed");
                return;
            }
        } else {
            got = recv(c->fd, c->in + c->in_len, room, 0);
            if (got < 0 && errno == EAGAIN) return;
            if (got <= 0) {
                broken(c, got ? strerror(errno) : "closed");
                return;
            }
        }
        c->in_len += (size_t)got;
        digest(c);
        if (c->state == CLOSED || !c->ssl || !SSL_has_pending(c->ssl)) return;
    }
}

static void secured(struct conn *c) {
    if (dialect == RAW) {
        if (greet) say_hello(c);
        else became_ready(c);
    } else {
        char request[512];
        int length = snprintf(request, sizeof request,
            "GET /%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
            is_card ? "card" : "user",
            deflate_on ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
        c->state = UPGRADING;
        put(c, request, (size_t)length);
    }
    if (c->out_len) flush(c);
}

static void secure(struct conn *c) {
    int done = listening ? SSL_accept(c->ssl) : SSL_connect(c->ssl);
    if (done == 1) {
        if (c->wants_write) watch(c, false);
        secured(c);
        if (c->state != CLOSED) receive(c);  // what came with the end of the handshake is read already
        return;
    }
    int error = SSL_get_error(c->ssl, done);
    if (error == SSL_ERROR_WANT_READ) {
        if (c->wants_write) watch(c, false);
    } else if (error == SSL_ERROR_WANT_WRITE) {
        watch(c, true);
    } else {
        char text[200] = "TLS failed";
        unsigned long why = ERR_get_error();
        if (why) ERR_error_string_n(why, text, sizeof text);
        ERR_clear_error();
        broken(c, text);
    }
}

static void connected(struct conn *c) {
    int error = 0, on = 1;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        broken(c, strerror(error));
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(c, false);
    if (!tls) {
        secured(c);
        return;
    }
    c->ssl = SSL_new(tls);
    SSL_set_fd(c->ssl, c->fd);
    if (!listening) {
        SSL_set_tlsext_host_name(c->ssl, "localhost");
        SSL_set1_host(c->ssl, "localhost");
    }
    c->state = SECURING;
    secure(c);
}

static void add(struct conn *c, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event)) fail("epoll: %s", strerror(errno));
    c->wants_write = events & EPOLLOUT;
}

static void start(struct conn *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) fail("socket: %s", strerror(errno));
    c->state = CONNECTING;
    c->seq = 0;
    opening++;
    unopened--;
    int done = connect(c->fd, (struct sockaddr *)&server, sizeof server);
    add(c, EPOLLIN | EPOLLOUT);
    if (done && errno != EINPROGRESS) broken(c, strerror(errno));
}

static void accept_one(void) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    for (int i = 0; i < count; i++) {
        struct conn *c = &conns[i];
        if (c->state != CLOSED) continue;
        c->fd = fd;
        c->state = CONNECTING;
        add(c, EPOLLIN);
        connected(c);
        return;
    }
    close(fd);
}

static void act(struct conn *c) {
    switch (c->state) {
    case CLOSED: break;
    case CONNECTING: connected(c); break;
    case SECURING: secure(c); break;
    default:
        if (c->wants_write) flush(c);
        if (c->state != CLOSED) receive(c);
    }
}

// What we are asked for.

static void begin_run(double seconds, int users, double pause_us, uint64_t times) {
    if (users > count) fail("there are only %d users", count);
    memset(histogram, 0, sizeof histogram);
    run_count = run_max = 0;
    active = users;
    left = times;
    pause_ns = (uint64_t)(pause_us * 1000);
    started_at = now();
    run_until = started_at + (uint64_t)(seconds * 1e9);
    running = true;
    for (int i = 0; i < active; i++) send_command(&conns[i]);
}

static void obey(const char *line) {
    double seconds, pause;
    int users;
    unsigned long long times;
    if (!strcmp(line, "open")) {
        opened_at = now();
        open_asked = true;
        retries = 0;
        unopened = listening ? 0 : count;
        for (int i = 0; i < count; i++) conns[i].next_at = 0;
    } else if (sscanf(line, "run %lf %d %lf", &seconds, &users, &pause) == 3) {
        begin_run(seconds, users, pause, 0);
    } else if (sscanf(line, "times %llu", &times) == 1) {
        begin_run(0, 1, 0, times);
    } else if (!strcmp(line, "shut")) {
        for (int i = 0; i < count; i++) drop(&conns[i]);
        ready = opening = unopened = 0;
        printf("{\"shut\": %d}\n", count);
    } else if (!strcmp(line, "counts")) {
        printf("{\"answered\": %llu, \"pings\": %llu, \"lost\": %llu, \"ready\": %d}\n",
            (unsigned long long)answered, (unsigned long long)pings, (unsigned long long)lost,
            ready);
    } else {
        fail("what is %s?", line);
    }
    fflush(stdout);
}

static bool read_orders(void) {
    static char lines[1024];
    static size_t length;
    ssize_t got = read(0, lines + length, sizeof lines - 1 - length);
    if (got <= 0) return false;
    length += (size_t)got;
    lines[length] = 0;
    for (char *end; (end = strchr(lines, '\n'));) {
        *end = 0;
        obey(lines);
        length -= (size_t)(end + 1 - lines);
        memmove(lines, end + 1, length + 1);
    }
    return true;
}

static void connect_more(void) {
    static int next;  // where to look on, so that a thousand clients are not walked for each
    uint64_t at = now();
    for (int tried = 0; tried < count && opening < parallel && unopened; tried++) {
        struct conn *c = &conns[next];
        next = (next + 1) % count;
        if (c->state == CLOSED && c->next_at <= at) start(c);
    }
}

static void see_if_open(void) {
    if (!open_asked || (!listening && ready < count)) return;
    open_asked = false;
    printf("{\"ready\": %d, \"seconds\": %.6f, \"retries\": %llu}\n", ready,
        (double)(now() - opened_at) / 1e9, (unsigned long long)retries);
    fflush(stdout);
}

static void send_what_is_due(void) {
    uint64_t at = now();
    for (int i = 0; i < active; i++)
        if (!conns[i].busy && conns[i].next_at <= at) send_command(&conns[i]);
}

// The beginning.

static const char *option(int argc, char **argv, const char *name) {
    size_t length = strlen(name);
    for (int i = 6; i < argc; i++)
        if (!strncmp(argv[i], name, length) && argv[i][length] == '=') return argv[i] + length + 1;
    return NULL;
}

static void set_up_tls(const char *ca, const char *cert, const char *key) {
    tls = SSL_CTX_new(listening ? TLS_server_method() : TLS_client_method());
    SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(tls, 1);
    if (listening) {
        if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1 ||
            SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
            fail("cannot read the certificate");
    } else {
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
        if (SSL_CTX_load_verify_locations(tls, ca, NULL) != 1) fail("cannot read %s", ca);
    }
}

static void listen_now(void) {
    int on = 1;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&server, sizeof server) || listen(listener, 4096))
        fail("cannot listen: %s", strerror(errno));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
}

static void set_up(int argc, char **argv) {
    if (argc < 6) fail("driver cards|users wsrc|first|raw HOST PORT COUNT [NAME=VALUE ...]");
    is_card = !strcmp(argv[1], "cards");
    dialect = !strcmp(argv[2], "wsrc") ? WSRC : !strcmp(argv[2], "first") ? FIRST : RAW;
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[4]));
    if (inet_pton(AF_INET, argv[3], &server.sin_addr) != 1) fail("%s is no address", argv[3]);
    count = atoi(argv[5]);
    const char *value;
    listening = option(argc, argv, "listen") != NULL;
    greet = option(argc, argv, "greet") != NULL;
    deflate_on = option(argc, argv, "deflate") != NULL;
    if ((value = option(argc, argv, "parallel"))) parallel = atoi(value);
    if ((value = option(argc, argv, "command"))) command_hex = value;
    sealed = option(argc, argv, "sealed") != NULL;
    memset(box_asked, 'A', sizeof box_asked - 1);
    memset(box_said, 'A', sizeof box_said - 1);
    if ((value = option(argc, argv, "octets"))) raw_octets = (size_t)atoi(value);
    if (raw_octets < 4 || raw_octets > 4096) fail("octets is 4 to 4096");
    const char *ca = option(argc, argv, "ca"), *cert = option(argc, argv, "cert");
    if (ca || cert) set_up_tls(ca, cert, option(argc, argv, "key"));
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < (rlim_t)count + 20) fail("only %ld files may be open", (long)files.rlim_cur);
    conns = calloc((size_t)count, sizeof *conns);
    if (!conns) fail("there is no memory for %d clients", count);
    noise ^= (uint32_t)getpid() * 2654435761u;
    int first = (value = option(argc, argv, "first")) ? atoi(value) : 0;
    for (int i = 0; i < count; i++) conns[i].number = first + i, conns[i].fd = -1;
}

static int next_wait_ms(void) {
    if (unopened) return 20;
    return running && pause_ns ? 1 : -1;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    set_up(argc, argv);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    static int orders;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &orders}, events[256];
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &event)) fail("standard input: %s", strerror(errno));
    if (listening) listen_now();
    for (;;) {
        if (unopened) connect_more();
        see_if_open();
        int n = epoll_wait(epoll_fd, events, 256, next_wait_ms());
        if (n < 0 && errno != EINTR) fail("epoll: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &orders) {
                if (!read_orders()) return 0;
            } else if (events[i].data.ptr == &listener) {
                accept_one();
            } else {
                act(events[i].data.ptr);
            }
        }
        if (running && pause_ns) send_what_is_due();
    }
}

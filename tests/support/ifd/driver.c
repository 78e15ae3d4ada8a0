/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An IFD handler for pcscd that has no reader: a test answers each call over a local socket.
 *
 * DEVICENAME is the path of that socket. Each slot has a line of its own, made by its first call,
 * and a second one on which the test says that a card came or went. All numbers are 32 bits in the
 * machine's order:
 *
 *     call      op, Lun, a, b, length, then so many octets
 *     answer    result code, length, then so many octets
 *
 * op: 1 channel by name, 2 close, 3 get capability (a: tag), 4 set capability (a: tag), 5 protocol
 * (a: 1 T=0, 2 T=1; b: flags), 6 power (a: 500 up, 501 down, 502 warm reset), 7 transmit (a:
 * protocol), 8 control (a: code, b: room), 9 presence, 10 this is the line for changes, no answer.
 */

#include <ifdhandler.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READERS 16
#define SLOTS 8
#define OCTETS 70000

enum { CREATE = 1, CLOSE, GET, SET, PROTOCOL, POWER, TRANSMIT, CONTROL, PRESENCE, CHANGES };

struct line {
	pthread_mutex_t mutex;
	int calls, changes;
};

static char paths[READERS][sizeof(((struct sockaddr_un *)0)->sun_path)];
static struct line lines[READERS][SLOTS];

__attribute__((constructor)) static void prepare(void)
{
	for (int reader = 0; reader < READERS; reader++)
		for (int slot = 0; slot < SLOTS; slot++) {
			pthread_mutex_init(&lines[reader][slot].mutex, NULL);
			lines[reader][slot].calls = lines[reader][slot].changes = -1;
		}
}

static struct line *line_of(DWORD lun)
{
	return &lines[(lun >> 16) % READERS][(lun & 0xFFFF) % SLOTS];
}

static int dial(DWORD lun)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int line = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, paths[(lun >> 16) % READERS]);
	if (line >= 0 && connect(line, (struct sockaddr *)&address, sizeof address) != 0) {
		close(line);
		return -1;
	}
	return line;
}

static int all(int line, void *octets, size_t count, int out)
{
	for (char *at = octets; count > 0;) {
		ssize_t done = out ? send(line, at, count, MSG_NOSIGNAL) : recv(line, at, count, 0);

		if (done <= 0)
			return 0;
		at += done;
		count -= (size_t)done;
	}
	return 1;
}

static int say(int line, uint32_t op, DWORD lun, DWORD a, DWORD b, const void *octets, DWORD count)
{
	uint32_t head[5] = { op, (uint32_t)lun, (uint32_t)a, (uint32_t)b, (uint32_t)count };

	return all(line, head, sizeof head, 1) && all(line, (void *)octets, count, 1);
}

/* Ask the test; `*room` is the room for its octets, then their number. */
static RESPONSECODE ask(uint32_t op, DWORD lun, DWORD a, DWORD b, const void *octets, DWORD count,
			void *answer, DWORD *room)
{
	static __thread unsigned char taken[OCTETS];
	uint32_t head[2] = { IFD_COMMUNICATION_ERROR, 0 };
	struct line *line = line_of(lun);

	pthread_mutex_lock(&line->mutex);
	if (line->calls < 0)
		line->calls = dial(lun);
	if (line->calls < 0 || !say(line->calls, op, lun, a, b, octets, count) ||
	    !all(line->calls, head, sizeof head, 0) || head[1] > sizeof taken ||
	    !all(line->calls, taken, head[1], 0)) {
		head[0] = IFD_COMMUNICATION_ERROR;
		head[1] = 0;
	}
	pthread_mutex_unlock(&line->mutex);
	if (room != NULL) {
		if (head[1] > *room)
			return IFD_ERROR_INSUFFICIENT_BUFFER;
		*room = head[1];
		if (head[1] > 0)
			memcpy(answer, taken, head[1]);
	}
	return (RESPONSECODE)head[0];
}

/* Wait until a card comes or goes; pcscd calls it in the slot's own thread. */
static RESPONSECODE wait_for_change(DWORD lun, int timeout_ms)
{
	struct line *line = line_of(lun);
	struct pollfd waited;
	char octet;

	if (line->changes < 0) {
		line->changes = dial(lun);
		if (line->changes >= 0)
			say(line->changes, CHANGES, lun, 0, 0, NULL, 0);
	}
	waited.fd = line->changes;
	waited.events = POLLIN;
	if (poll(&waited, 1, timeout_ms) > 0 && recv(line->changes, &octet, 1, 0) <= 0)
		poll(NULL, 0, timeout_ms);
	return IFD_SUCCESS;
}

RESPONSECODE IFDHCreateChannelByName(DWORD lun, LPSTR name)
{
	char *path = paths[(lun >> 16) % READERS];

	if (strlen(name) >= sizeof paths[0])
		return IFD_NO_SUCH_DEVICE;
	strcpy(path, name);
	return ask(CREATE, lun, 0, 0, NULL, 0, NULL, NULL);
}

RESPONSECODE IFDHCreateChannel(DWORD lun, DWORD channel)
{
	(void)lun;
	(void)channel;
	return IFD_NOT_SUPPORTED;
}

RESPONSECODE IFDHCloseChannel(DWORD lun)
{
	return ask(CLOSE, lun, 0, 0, NULL, 0, NULL, NULL);
}

RESPONSECODE IFDHGetCapabilities(DWORD lun, DWORD tag, PDWORD length, PUCHAR value)
{
	if (tag == TAG_IFD_POLLING_THREAD_WITH_TIMEOUT && *length >= sizeof(void *)) {
		*(RESPONSECODE(**)(DWORD, int))value = wait_for_change;
		*length = sizeof(void *);
		return IFD_SUCCESS;
	}
	if (tag == TAG_IFD_POLLING_THREAD_KILLABLE) {
		*value = 1;
		*length = 1;
		return IFD_SUCCESS;
	}
	return ask(GET, lun, tag, 0, NULL, 0, value, length);
}

RESPONSECODE IFDHSetCapabilities(DWORD lun, DWORD tag, DWORD length, PUCHAR value)
{
	return ask(SET, lun, tag, 0, value, length, NULL, NULL);
}

RESPONSECODE IFDHSetProtocolParameters(DWORD lun, DWORD protocol, UCHAR flags, UCHAR pts1,
				       UCHAR pts2, UCHAR pts3)
{
	UCHAR pts[3] = { pts1, pts2, pts3 };

	return ask(PROTOCOL, lun, protocol, flags, pts, sizeof pts, NULL, NULL);
}

RESPONSECODE IFDHPowerICC(DWORD lun, DWORD action, PUCHAR atr, PDWORD length)
{
	*length = MAX_ATR_SIZE;
	return ask(POWER, lun, action, 0, NULL, 0, atr, length);
}

RESPONSECODE IFDHTransmitToICC(DWORD lun, SCARD_IO_HEADER send_pci, PUCHAR octets, DWORD count,
			       PUCHAR answer, PDWORD length, PSCARD_IO_HEADER recv_pci)
{
	RESPONSECODE code = ask(TRANSMIT, lun, send_pci.Protocol, 0, octets, count, answer, length);

	if (recv_pci != NULL)
		recv_pci->Protocol = send_pci.Protocol;
	if (code != IFD_SUCCESS)
		*length = 0;
	return code;
}

RESPONSECODE IFDHControl(DWORD lun, DWORD control, PUCHAR octets, DWORD count, PUCHAR answer,
			 DWORD room, LPDWORD returned)
{
	RESPONSECODE code = ask(CONTROL, lun, control, room, octets, count, answer, &room);

	*returned = code == IFD_SUCCESS ? room : 0;
	return code;
}

RESPONSECODE IFDHICCPresence(DWORD lun)
{
	return ask(PRESENCE, lun, 0, 0, NULL, 0, NULL, NULL);
}

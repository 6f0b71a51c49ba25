/* SPDX-License-Identifier: Apache-2.0
 *
 * init of the Linux guest: mounts, reads the command line, starts the programs, reports the clock, and ends
 * the guest in the way that was asked for: console letter, power button, time, or a failure.
 */
#include "gt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

struct options options = {.mode = "shell",
                          .disk = "/dev/vda",
                          .ip = "10.0.2.15/24",
                          .clock_ms = 1000,
                          .files = 16,
                          .file_size = 65536,
                          .pause_ms = 100};
struct counters* counters;

void report(const char* format, ...) {
    char line[512] = "GT linux ";
    const int prefix = (int)strlen(line);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line + prefix, sizeof line - prefix - 1, format, arguments);
    va_end(arguments);
    length = prefix + (length < (int)sizeof line - prefix - 2 ? length : (int)sizeof line - prefix - 2);
    line[length++] = '\n';
    (void)!write(STDOUT_FILENO, line, (size_t)length);
}

uint64_t stream_word(uint64_t seed, uint64_t i) {
    uint64_t z = seed * 0x9e3779b97f4a7c15 + i * 0xd1342543de82ef95 + 1; /* then the mixer of SplitMix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static uint64_t now_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void sleep_ms(unsigned ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static void mount_all(void) {
    static const struct {
        const char *type, *on;
    } mounts[] = {{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}};
    for (size_t i = 0; i < sizeof mounts / sizeof mounts[0]; i++) {
        mkdir(mounts[i].on, 0755);
        if (mount(mounts[i].type, mounts[i].on, mounts[i].type, 0, NULL) != 0 && errno != EBUSY)
            report("fail what=mount on=%s errno=%d", mounts[i].on, errno);
    }
}

/* The console was opened by the kernel if /dev/console was in the initramfs; otherwise we do. */
static void open_console(void) {
    if (fcntl(STDIN_FILENO, F_GETFD) == 0)
        return;
    const int fd = open("/dev/console", O_RDWR);
    for (int i = 0; fd >= 0 && i < 3; i++)
        dup2(fd, i);
}

static void set_text(char* to, size_t size, const char* from) {
    snprintf(to, size, "%s", from);
}

static void parse_command_line(void) {
    char line[4096] = "";
    const int fd = open("/proc/cmdline", O_RDONLY);
    const ssize_t length = fd >= 0 ? read(fd, line, sizeof line - 1) : 0;
    if (fd >= 0)
        close(fd);
    line[length > 0 ? length : 0] = '\0';
    for (char* word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
        char* value = strchr(word, '=');
        if (!value || strncmp(word, "gt", 2) != 0)
            continue;
        *value++ = '\0';
        const unsigned number = (unsigned)strtoul(value, NULL, 0);
        if (!strcmp(word, "gt"))
            set_text(options.mode, sizeof options.mode, value);
        else if (!strcmp(word, "gt.disk"))
            set_text(options.disk, sizeof options.disk, value);
        else if (!strcmp(word, "gt.ip"))
            set_text(options.ip, sizeof options.ip, value);
        else if (!strcmp(word, "gt.clock"))
            options.clock_ms = number ? number : 1000;
        else if (!strcmp(word, "gt.time"))
            options.seconds = number;
        else if (!strcmp(word, "gt.files"))
            options.files = number < 1 ? 1 : number > kMaxFiles ? kMaxFiles : number;
        else if (!strcmp(word, "gt.size"))
            options.file_size = number < 64 ? 64 : number & ~7u;
        else if (!strcmp(word, "gt.pause"))
            options.pause_ms = number;
        else
            report("fail what=unknown_option word=%s", word);
    }
}

static void start(int (*body)(void)) {
    const pid_t pid = fork();
    if (pid == 0)
        _exit(body());
    if (pid < 0)
        report("fail what=fork errno=%d", errno);
}

static void end_guest(bool again, int status) {
    report("exit status=%d", status);
    tcdrain(STDOUT_FILENO);
    sync();
    reboot(again ? RB_AUTOBOOT : RB_POWER_OFF);
    report("fail what=reboot errno=%d", errno); /* init must not return */
    for (;;)
        pause();
}

static void run_shell(void) {
    const pid_t pid = fork();
    if (pid == 0) {
        setenv("PATH", "/bin", 1);
        execl("/bin/busybox", "setsid", "cttyhack", "sh", (char*)NULL);
        _exit(127);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    report("shell status=%d", status);
}

/* ---- work: the programs, and what init watches meanwhile
 * ------------------------------------------------------- */

static struct { uint64_t beats, longest_gap_ns, backwards, last_mono, last_real; } beat;

static void clock_line(void) {
    const uint64_t mono = now_ns(CLOCK_MONOTONIC), real = now_ns(CLOCK_REALTIME);
    if (beat.beats) {
        if (mono < beat.last_mono || real < beat.last_real)
            beat.backwards++;
        if (mono > beat.last_mono && mono - beat.last_mono > beat.longest_gap_ns)
            beat.longest_gap_ns = mono - beat.last_mono;
    }
    beat.last_mono = mono;
    beat.last_real = real;
    report("clock n=%llu mono=%llu real=%llu", (unsigned long long)beat.beats, (unsigned long long)mono,
           (unsigned long long)real);
    beat.beats++;
}

static void status_lines(void) {
    const struct counters* c = counters;
    report("clock beats=%llu backwards=%llu longest_gap_ms=%llu", (unsigned long long)beat.beats,
           (unsigned long long)beat.backwards, (unsigned long long)(beat.longest_gap_ns / 1000000));
    if (c->disk.ready)
        report("disk files=%llu bytes=%llu found=%llu verified=%llu errors=%llu",
               (unsigned long long)c->disk.files, (unsigned long long)c->disk.bytes,
               (unsigned long long)c->disk.found, (unsigned long long)c->disk.verified,
               (unsigned long long)c->disk.errors);
    if (c->tcp.ready)
        report("tcp bytes=%llu sent=%llu connections=%llu errors=%llu", (unsigned long long)c->tcp.received,
               (unsigned long long)c->tcp.sent, (unsigned long long)c->tcp.connections,
               (unsigned long long)c->tcp.errors);
}

static void raw_console(void) {
    struct termios t;
    if (tcgetattr(STDIN_FILENO, &t) != 0)
        return;
    t.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

/* At once, with nothing stopped; the disk may be in any state. */
static void reset_by(char letter) {
    static const char* const kTypes[] = {"acpi", "bios", "efi", "kbd", "pci", "triple"};
    for (size_t i = 0; i < sizeof kTypes / sizeof kTypes[0]; i++) {
        if (kTypes[i][0] != letter)
            continue;
        const int fd = open("/sys/kernel/reboot/type", O_WRONLY);
        const ssize_t length = (ssize_t)strlen(kTypes[i]);
        if (fd < 0 || write(fd, kTypes[i], (size_t)length) != length)
            report("fail what=reboot_type errno=%d", errno);
        report("reset type=%s", kTypes[i]);
        tcdrain(STDOUT_FILENO);
        reboot(RB_AUTOBOOT);
    }
    report("fail what=reset letter=%c", letter);
}

/* The power button is an input device; any EV_KEY KEY_POWER press on the first one counts. */
static bool power_button_pressed(int fd) {
    struct {
        struct timeval time;
        uint16_t type, code;
        int32_t value;
    } event;
    bool pressed = false;
    while (read(fd, &event, sizeof event) == (ssize_t)sizeof event)
        pressed |= event.type == 1 && event.code == 116 && event.value == 1;
    return pressed;
}

static const char* watch(void) {
    const int button = open("/dev/input/event0", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    const struct timespec period = {.tv_sec = options.clock_ms / 1000,
                                    .tv_nsec = (long)(options.clock_ms % 1000) * 1000000};
    const struct itimerspec setting = {.it_interval = period, .it_value = period};
    timerfd_settime(timer, 0, &setting, NULL);
    if (button < 0)
        report("no power button");
    const uint64_t end =
        options.seconds ? now_ns(CLOCK_MONOTONIC) + options.seconds * 1000000000ull : UINT64_MAX;
    struct pollfd polled[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                              {.fd = timer, .events = POLLIN},
                              {.fd = button, .events = POLLIN}};
    for (;;) {
        if (poll(polled, 3, -1) < 0 && errno != EINTR)
            return "poll";
        if (polled[1].revents & POLLIN) {
            uint64_t expirations;
            (void)!read(timer, &expirations, sizeof expirations);
            clock_line();
            if (waitpid(-1, NULL, WNOHANG) > 0) /* neither program ends by itself */
                return "failure";
            if (now_ns(CLOCK_MONOTONIC) >= end)
                return "time";
        }
        if (polled[0].revents & POLLIN) {
            char letter = 0;
            if (read(STDIN_FILENO, &letter, 1) == 1 && letter == 'q')
                return "console";
            if (letter == 's')
                status_lines();
            if (letter == 'a')
                save_acpi_tables();
            if (letter == 'e')
                report_entropy();
            if (letter == 'r' && read(STDIN_FILENO, &letter, 1) == 1)
                reset_by(letter);
        } else if (polled[0].revents) {
            polled[0].fd = -1; /* no console input: poll must not spin */
        }
        if ((polled[2].revents & POLLIN) && power_button_pressed(button))
            return "power_button";
    }
}

static int work(void) {
    raw_console();
    const bool net = strcmp(options.ip, "none") != 0 && set_up_network();
    const bool disk = strcmp(options.disk, "none") != 0;
    if (disk)
        start(run_disk);
    if (net)
        start(run_tcp);
    report("ready ns=%llu", (unsigned long long)now_ns(CLOCK_MONOTONIC));
    const char* why = watch();
    report("finish why=%s", why);
    counters->stop = true;
    bool failed = !strcmp(why, "failure") || !strcmp(why, "poll");
    int status;
    while (waitpid(-1, &status, 0) > 0)
        failed |= status != 0;
    status_lines();
    failed |= counters->disk.errors || counters->tcp.errors || beat.backwards;
    return failed;
}

int main(void) {
    open_console();
    mount_all();
    struct utsname name = {0};
    uname(&name);
    report("boot kernel=%s cpus=%ld ns=%llu", name.release, sysconf(_SC_NPROCESSORS_ONLN),
           (unsigned long long)now_ns(CLOCK_MONOTONIC));
    load_modules();
    parse_command_line();
    counters = mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counters == MAP_FAILED)
        end_guest(false, 1);
    signal(SIGPIPE, SIG_IGN);
    int status = 0;
    if (!strcmp(options.mode, "work"))
        status = work();
    else if (!strcmp(options.mode, "shell"))
        run_shell();
    const unsigned problems = report_kernel_problems();
    end_guest(!strcmp(options.mode, "reboot"), status ? status : problems ? 3 : 0);
}

// SPDX-License-Identifier: Apache-2.0
//
// A real tap interface, where this process may have one. Exit code 77 tells Meson that it was skipped.
#define CATCH_CONFIG_RUNNER
#include "devices/virtio/tap.h"

#include "devices/virtio/announce.h"
#include "devices/virtio/net_spec.h"

#include <arpa/inet.h>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace godwit;
using namespace godwit::virtio;
using Catch::Matchers::Contains;

namespace {

// Not the name of an interface that anybody else uses.
std::string test_interface() {
    return fmt::format("gwt{}", ::getpid() % 1000000);
}

// The descriptor, or a failure in errno.
Fd attach(const std::string& name, short flags) {
    Fd fd = Fd::adopt(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    request.ifr_flags = flags;
    if (!fd || ::ioctl(fd.get(), TUNSETIFF, &request) != 0)
        return {};
    return fd;
}

constexpr short kFlags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;

// An interface that is there although nobody has it open, as `ip tuntap add` makes it.
class Interface {
  public:
    explicit Interface(const std::string& name) : name_(name) {
        const Fd fd = attach(name, kFlags);
        REQUIRE(fd);
        REQUIRE(::ioctl(fd.get(), TUNSETPERSIST, 1) == 0);
    }
    Interface(const Interface&) = delete;
    ~Interface() {
        const Fd fd = attach(name_, kFlags);
        (void)::ioctl(fd.get(), TUNSETPERSIST, 0);
    }

  private:
    std::string name_;
};

void bring_up(const std::string& name) {
    const Fd control = Fd::adopt(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    REQUIRE(::ioctl(control.get(), SIOCGIFFLAGS, &request) == 0);
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    REQUIRE(::ioctl(control.get(), SIOCSIFFLAGS, &request) == 0);
}

// The host's side of the interface.
Fd packet_socket(const std::string& name) {
    Fd fd = Fd::adopt(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL)));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(::if_nametoindex(name.c_str()));
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    return fd;
}

} // namespace

TEST_CASE("interface names") {
    for (const auto* name : {"tap0", "a", "vnet-1.x_2", "123456789012345"})
        CHECK(check_interface_name(name).ok());
    for (const auto* name : {"", "1234567890123456", "tap 0", "a/b", "tap%d", ".", "..", "a:1", "tab\t"})
        CHECK_FALSE(check_interface_name(name).ok());
}

TEST_CASE("offloads in the kernel's terms") {
    CHECK(tun_offloads(0) == 0);
    CHECK(tun_offloads(kGuestOffloads) == (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_UFO));
    CHECK(tun_offloads(kGuestOffloads & ~feature(VIRTIO_NET_F_GUEST_CSUM)) == 0);
    CHECK(tun_offloads(feature(VIRTIO_NET_F_GUEST_CSUM) | feature(VIRTIO_NET_F_GUEST_ECN)) == TUN_F_CSUM);
    CHECK(tun_offloads(feature(VIRTIO_NET_F_GUEST_CSUM) | feature(VIRTIO_NET_F_GUEST_TSO6)) ==
          (TUN_F_CSUM | TUN_F_TSO6));
}

TEST_CASE("a tap is opened, refuses a second owner, and carries frames") {
    const auto name = test_interface();
    const Interface interface { name };
    auto opened = Tap::open(name);
    REQUIRE(opened.ok());
    auto tap = std::move(*opened);
    CHECK(tap->interface_name() == name);
    CHECK_THAT(tap->name(), Contains(name));

    const auto second = Tap::open(name);
    REQUIRE_FALSE(second.ok());
    CHECK(second.error().code == ErrorCode::NoDevice);
    CHECK_THAT(second.error().text, Contains(name) && Contains("another process uses it"));

    REQUIRE(tap->set_header_size(kNetHeaderFull).ok());
    for (const std::uint64_t offloads : {kGuestOffloads, std::uint64_t{0}, feature(VIRTIO_NET_F_GUEST_TSO4)})
        CHECK(tap->set_guest_offloads(offloads &
                                      (tap->has_ufo() ? ~std::uint64_t{0} : ~feature(VIRTIO_NET_F_GUEST_UFO)))
                  .ok());

    bring_up(name);
    const Fd host = packet_socket(name);
    virtio_net_hdr header{};
    auto frame = rarp_frame({2, 0, 0, 0, 0, 1});
    const iovec out[] = {{&header, sizeof header}, {frame.data(), frame.size()}};
    REQUIRE(tap->write(out) == static_cast<std::int64_t>(sizeof header + frame.size()));
    const auto is_ours = [&](std::span<const std::byte> bytes) {
        return bytes.size() == frame.size() && std::equal(bytes.begin(), bytes.end(), frame.begin());
    };
    std::array<std::byte, 2048> seen{};
    bool arrived = false;
    for (ssize_t n = 0; !arrived && (n = ::recv(host.get(), seen.data(), seen.size(), 0)) > 0;)
        arrived = is_ours(std::span{seen}.first(static_cast<std::size_t>(n)));
    CHECK(arrived);

    // The other way; the host's own chatter (IPv6 discovery) may come in between.
    REQUIRE(::send(host.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size()));
    const iovec in[] = {{&header, sizeof header}, {seen.data(), seen.size()}};
    bool received = false;
    for (std::int64_t n = 0; !received && (n = tap->read(in)) > 0;)
        received = is_ours(std::span{seen}.first(static_cast<std::size_t>(n) - sizeof header));
    CHECK(received);
    std::int64_t rest = 0;
    while ((rest = tap->read(in)) > 0) {
    }
    CHECK(rest == -EAGAIN);
}

TEST_CASE("a tap that is not there is named, and not made") {
    const auto name = test_interface();
    const auto opened = Tap::open(name);
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().code == ErrorCode::NoDevice);
    CHECK_THAT(opened.error().text, Contains(name) && Contains("no such interface"));
    CHECK(::if_nametoindex(name.c_str()) == 0);
}

TEST_CASE("a tap that leads nowhere says so") {
    const auto name = test_interface();
    const Interface interface { name };
    const auto tap = std::move(Tap::open(name)).value();
    CHECK(tap->lack() == "is down");
    bring_up(name);
    if (::access(("/sys/class/net/" + name).c_str(), F_OK) == 0)
        CHECK(tap->lack() == "has neither a bridge nor an address");
    const Fd control = Fd::adopt(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    auto& address = reinterpret_cast<sockaddr_in&>(request.ifr_addr);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(0xc0000201); // 192.0.2.1, of documents (RFC 5737)
    REQUIRE(::ioctl(control.get(), SIOCSIFADDR, &request) == 0);
    CHECK(tap->lack().empty());
}

TEST_CASE("a descriptor is adopted when it is the right kind of tap") {
    const auto name = test_interface();
    const auto opened = [&](short flags) {
        Fd fd = attach(name, flags);
        REQUIRE(fd);
        return fd;
    };
    auto adopted = Tap::adopt(opened(kFlags));
    REQUIRE(adopted.ok());
    CHECK((*adopted)->interface_name() == name);
    CHECK((::fcntl((*adopted)->fd(), F_GETFL) & O_NONBLOCK) != 0);
    adopted->reset();

    CHECK_THAT(Tap::adopt(opened(IFF_TAP | IFF_NO_PI)).error().text, Contains("IFF_VNET_HDR"));
    CHECK_THAT(Tap::adopt(opened(IFF_TUN | IFF_NO_PI)).error().text, Contains("IP packets"));
    const auto file = Tap::adopt(open_file("/dev/null", O_RDWR).value());
    REQUIRE_FALSE(file.ok());
    CHECK(file.error().code == ErrorCode::NoDevice);
}

int main(int argc, char** argv) {
    constexpr int kSkipped = 77;
    if (!attach(test_interface(), kFlags)) {
        std::cout << "skipped: no tap may be made here: " << std::strerror(errno) << "\n";
        return kSkipped;
    }
    return Catch::Session().run(argc, argv);
}

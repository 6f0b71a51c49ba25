// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/tap.h"

#include "devices/virtio/net_spec.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_tun.h>
#include <memory>
#include <net/if.h>
#include <netinet/in.h>
#include <optional>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace godwit::virtio {

namespace {

constexpr const char* kTunDevice = "/dev/net/tun";
constexpr short kTapFlags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;

std::string_view attach_failure(int errno_value) {
    switch (errno_value) {
    case EBUSY:
        return "another process uses it";
    case EPERM:
    case EACCES:
        return "it belongs to another user (CAP_NET_ADMIN)";
    case EINVAL:
        return "it exists and is not a tap interface, or it was created with other flags";
    default:
        return {};
    }
}

Error not_there(const std::string& interface_name) {
    return Error{
        ErrorCode::NoDevice,
        fmt::format("there is no such interface (`ip tuntap add dev {} mode tap` makes it)", interface_name)};
}

// What a network namespace says of an interface; nothing when it is not there, or not known.
struct Presence {
    bool up = false;
    bool addressed = false; // the link-local address of IPv6, which every interface gets, is none
};
std::optional<Presence> presence_of(const std::string& interface_name) {
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0)
        return std::nullopt;
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner{all, &::freeifaddrs};
    std::optional<Presence> found;
    for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
        if (interface_name != one->ifa_name)
            continue;
        if (!found)
            found.emplace();
        found->up = (one->ifa_flags & IFF_UP) != 0;
        const auto* const address = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr);
        if (address != nullptr &&
            (address->sin6_family == AF_INET ||
             (address->sin6_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr))))
            found->addressed = true;
    }
    return found;
}

} // namespace

Status check_interface_name(std::string_view name) {
    if (name.empty() || name.size() >= IFNAMSIZ)
        return invalid_input("interface name '{}' has {} bytes, 1 to {} can be", name, name.size(),
                             IFNAMSIZ - 1);
    const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isgraph(c) != 0 && c != '/' && c != ':' && c != '%';
    });
    if (!plain || name == "." || name == "..")
        return invalid_input("interface name '{}' has characters that it must not have", name);
    return {};
}

unsigned tun_offloads(std::uint64_t guest_offloads) {
    // The kernel refuses segmentation without checksums, and ECN without TCP segmentation.
    if (!has_feature(guest_offloads, VIRTIO_NET_F_GUEST_CSUM))
        return 0;
    unsigned flags = TUN_F_CSUM;
    if (has_feature(guest_offloads, VIRTIO_NET_F_GUEST_TSO4))
        flags |= TUN_F_TSO4;
    if (has_feature(guest_offloads, VIRTIO_NET_F_GUEST_TSO6))
        flags |= TUN_F_TSO6;
    if (has_feature(guest_offloads, VIRTIO_NET_F_GUEST_ECN) && (flags & (TUN_F_TSO4 | TUN_F_TSO6)) != 0)
        flags |= TUN_F_TSO_ECN;
    if (has_feature(guest_offloads, VIRTIO_NET_F_GUEST_UFO))
        flags |= TUN_F_UFO;
    return flags;
}

Result<std::unique_ptr<Tap>> Tap::open(const std::string& interface_name) {
    TRY(check_interface_name(interface_name));
    const auto context = fmt::format("tap '{}'", interface_name);
    auto opened = open_file(kTunDevice, O_RDWR | O_NONBLOCK);
    if (!opened.ok())
        return Error{ErrorCode::NoDevice, std::move(opened).error().text}.in(context);
    Fd fd = std::move(*opened);
    const unsigned index = ::if_nametoindex(interface_name.c_str());
    if (index == 0)
        return not_there(interface_name).in(context);

    ifreq request{};
    std::memcpy(request.ifr_name, interface_name.data(), interface_name.size());
    request.ifr_flags = kTapFlags;
    if (::ioctl(fd.get(), TUNSETIFF, &request) < 0) {
        const int code = errno;
        const auto cause = attach_failure(code);
        return error(ErrorCode::NoDevice, "{}: {}", context, cause.empty() ? std::strerror(code) : cause);
    }
    if (::if_nametoindex(interface_name.c_str()) != index) // removed just then, and made by attaching
        return not_there(interface_name).in(context);
    return std::unique_ptr<Tap>{new Tap{std::move(fd), interface_name}};
}

Result<std::unique_ptr<Tap>> Tap::adopt(Fd fd) {
    ifreq request{};
    if (::ioctl(fd.get(), TUNGETIFF, &request) < 0)
        return error(ErrorCode::NoDevice, "file descriptor {} is not a tap: {}", fd.get(),
                     std::strerror(errno));
    std::string name{request.ifr_name, ::strnlen(request.ifr_name, IFNAMSIZ)};
    if ((request.ifr_flags & (IFF_TAP | IFF_TUN)) != IFF_TAP)
        return error(ErrorCode::NoDevice, "'{}' (file descriptor {}) carries IP packets, not Ethernet frames",
                     name, fd.get());
    if ((request.ifr_flags & (IFF_NO_PI | IFF_VNET_HDR)) != (IFF_NO_PI | IFF_VNET_HDR))
        return error(ErrorCode::NoDevice,
                     "tap '{}' (file descriptor {}) must be opened with IFF_VNET_HDR and IFF_NO_PI", name,
                     fd.get());
    const int flags = ::fcntl(fd.get(), F_GETFL);
    if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) < 0)
        return system_error(errno, fmt::format("tap '{}': set O_NONBLOCK", name));
    if (::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) < 0)
        return system_error(errno, fmt::format("tap '{}': set FD_CLOEXEC", name));
    return std::unique_ptr<Tap>{new Tap{std::move(fd), std::move(name)}};
}

Tap::Tap(Fd fd, std::string interface_name) : fd_(std::move(fd)), interface_name_(std::move(interface_name)) {
    // The only way to ask; start() sets what the guest wants. Until then nothing is offloaded.
    has_ufo_ = ::ioctl(fd_.get(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_UFO) == 0;
    (void)::ioctl(fd_.get(), TUNSETOFFLOAD, 0);
}

Status Tap::check_present() const {
    ifreq request{};
    if (::ioctl(fd_.get(), TUNGETIFF, &request) < 0) // EBADFD: detached, because the interface was removed
        return error(ErrorCode::NoDevice, "it was removed");
    return {};
}

std::string Tap::lack() const {
    const auto presence = presence_of(interface_name_);
    if (!presence)
        return {}; // in another network namespace
    if (!presence->up)
        return "is down";
    const std::string folder = "/sys/class/net/" + interface_name_;
    const bool known = ::access(folder.c_str(), F_OK) == 0;
    if (known && ::access((folder + "/master").c_str(), F_OK) != 0 && !presence->addressed)
        return "has neither a bridge nor an address";
    return {};
}

std::string Tap::name() const {
    return fmt::format("tap '{}'", interface_name_);
}

Status Tap::set_header_size(std::uint32_t bytes) {
    const int size = static_cast<int>(bytes);
    if (::ioctl(fd_.get(), TUNSETVNETHDRSZ, &size) < 0)
        return system_error(errno, fmt::format("{}: header of {} bytes", name(), bytes));
    return {};
}

Status Tap::set_guest_offloads(std::uint64_t offloads) {
    if (::ioctl(fd_.get(), TUNSETOFFLOAD, tun_offloads(offloads)) < 0)
        return system_error(errno, fmt::format("{}: offloads {:#x}", name(), tun_offloads(offloads)));
    return {};
}

std::int64_t Tap::read(std::span<const iovec> buffers) {
    ssize_t count = 0;
    do
        count = ::readv(fd_.get(), buffers.data(), static_cast<int>(buffers.size()));
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

std::int64_t Tap::write(std::span<const iovec> buffers) {
    ssize_t count = 0;
    do
        count = ::writev(fd_.get(), buffers.data(), static_cast<int>(buffers.size()));
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

} // namespace godwit::virtio

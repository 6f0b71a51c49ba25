// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/descriptors.h"

#include <cctype>

namespace godwit::control {

void Descriptors::arrived(Fd fd) {
    if (arrived_.size() + named_.size() < kMax)
        arrived_.push_back(std::move(fd));
    else
        warnings_.warning("control socket: a client hands over more than {} descriptors; one is closed",
                          kMax);
}

Status Descriptors::name(const std::string& name) {
    if (arrived_.empty())
        return invalid_input("getfd: no descriptor came with it (SCM_RIGHTS)");
    Fd fd = std::move(arrived_.front());
    arrived_.pop_front();
    if (name.empty() || std::isdigit(static_cast<unsigned char>(name.front())) != 0)
        return invalid_input(
            "getfd: '{}' is not a name: a number would be one of the machine's own descriptors", name);
    named_.insert_or_assign(name, std::move(fd));
    return {};
}

Status Descriptors::close(const std::string& name) {
    TRY(take(name));
    return {};
}

Result<Fd> Descriptors::take(const std::string& name) {
    const auto found = named_.find(name);
    if (found == named_.end())
        return invalid_input("no descriptor named '{}' was handed over; `getfd` does that", name);
    Fd fd = std::move(found->second);
    named_.erase(found);
    return fd;
}

} // namespace godwit::control

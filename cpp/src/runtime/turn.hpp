// One long change at a time: waiting for one's turn listens to Ctrl-C, asking for it twice is an error
// and not a deadlock, and a forked child does not wait for a thread that it does not have.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <new>
#include <string>
#include <thread>

#include <unistd.h>

#include "embmath/errors.hpp"
#include "embmath/runtime.hpp"

namespace embmath::runtime {

class TurnTaker {
public:
    // Holds the turn until the end of the scope. `what` begins the error's text.
    class Turn {
    public:
        Turn(TurnTaker& taker, const Execution& execution, const char* what) : taker_(taker) {
            taker_.take(execution, what);
        }
        ~Turn() {
            taker_.holder_ = std::thread::id();
            taker_.mutex_.unlock();
        }
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;

    private:
        TurnTaker& taker_;
    };

private:
    void take(const Execution& execution, const char* what) {
        if (process_ != getpid()) {  // a child starts with its forking thread alone
            new (&mutex_) std::timed_mutex;
            holder_ = std::thread::id();
            process_ = getpid();
        }
        if (holder_ == std::this_thread::get_id()) {
            throw ValueError(std::string(what) + ": must not be changed from a callback of its own change");
        }
        while (!mutex_.try_lock_for(std::chrono::milliseconds(30))) {
            if (execution.monitor != nullptr) execution.monitor->poll(-1.0);
        }
        holder_ = std::this_thread::get_id();
    }

    std::timed_mutex mutex_;
    std::atomic<std::thread::id> holder_{};
    std::atomic<pid_t> process_{getpid()};
};

}  // namespace embmath::runtime

#include "runtime/parallel.hpp"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include <pthread.h>
#include <signal.h>

namespace embmath::runtime {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPollInterval = std::chrono::milliseconds(30);

}  // namespace

struct Job {
    Job(const WorkerFunction& work, Monitor* watcher, int workers, std::int64_t units)
        : function(work), monitor(watcher), n_workers(workers), total(units) {}

    const WorkerFunction& function;
    Monitor* monitor;
    const int n_workers;
    const std::int64_t total;

    std::atomic<bool> stop{false};
    std::atomic<std::int64_t> done{0};
    Clock::time_point last_poll = Clock::now();  // touched by the calling thread only

    // Guarded by the pool's mutex.
    int next_index = 1;
    int running = 0;
    std::exception_ptr error;

    void poll() {
        if (monitor == nullptr) return;
        const auto now = Clock::now();
        if (now - last_poll < kPollInterval) return;
        last_poll = now;
        monitor->poll(total > 0 ? static_cast<double>(done.load(std::memory_order_relaxed)) / static_cast<double>(total) : -1.0);
    }

    std::exception_ptr execute(int index) {
        const DefaultFloatEnvironment environment;  // pool threads inherit whatever their creator had set
        try {
            Worker worker(*this, index);
            function(worker);
        } catch (const Cancelled&) {
        } catch (...) {
            stop.store(true, std::memory_order_relaxed);
            return std::current_exception();
        }
        return nullptr;
    }
};

void Worker::checkpoint() {
    if (job_.stop.load(std::memory_order_relaxed)) throw Cancelled{};
    if (index_ == 0) job_.poll();
}

void Worker::advance(std::int64_t units) { job_.done.fetch_add(units, std::memory_order_relaxed); }

namespace {

class Pool {
public:
    static Pool& instance();

    void offer(Job& job) {
        const std::lock_guard lock(mutex_);
        grow(job.n_workers - 1);
        open_.push_back(&job);
        work_.notify_all();
    }

    // Withdraws what nobody took yet and waits for what somebody did.
    void retire(Job& job) {
        std::unique_lock lock(mutex_);
        std::erase(open_, &job);
        while (job.running > 0) {
            done_.wait_for(lock, kPollInterval);
            if (job.running == 0 || job.stop.load(std::memory_order_relaxed)) continue;
            lock.unlock();
            try {
                job.poll();
            } catch (...) {
                job.stop.store(true, std::memory_order_relaxed);
                lock.lock();
                if (!job.error) job.error = std::current_exception();
                continue;
            }
            lock.lock();
        }
    }

private:
    void grow(int wanted) {
        // Signals belong to the application's threads, but for those a thread raises by itself.
        sigset_t others, previous;
        sigfillset(&others);
        for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&others, own);
        pthread_sigmask(SIG_SETMASK, &others, &previous);
        try {
            for (; n_threads_ < wanted; ++n_threads_) std::thread([this] { serve(); }).detach();
        } catch (const std::system_error&) {
            // No more threads to be had: those that exist, and the caller, do the work.
        }
        pthread_sigmask(SIG_SETMASK, &previous, nullptr);
    }

    void serve() {
        std::unique_lock lock(mutex_);
        for (;;) {
            work_.wait(lock, [this] { return !open_.empty(); });
            Job& job = *open_.front();
            const int index = job.next_index++;
            if (job.next_index == job.n_workers) open_.pop_front();
            ++job.running;
            lock.unlock();
            std::exception_ptr error = job.execute(index);
            lock.lock();
            if (error && !job.error) job.error = error;
            if (--job.running == 0) done_.notify_all();
        }
    }

    std::mutex mutex_;
    std::condition_variable work_, done_;
    std::deque<Job*> open_;  // jobs that still take workers
    int n_threads_ = 0;
};

std::atomic<Pool*> g_pool{nullptr};

// Never destroyed: its detached threads may outlive every static destructor.
Pool& Pool::instance() {
    Pool* pool = g_pool.load(std::memory_order_acquire);
    if (pool != nullptr) return *pool;
    static const int registered = pthread_atfork(nullptr, nullptr, [] { g_pool.store(nullptr); });
    (void)registered;
    Pool* fresh = new Pool;
    if (g_pool.compare_exchange_strong(pool, fresh)) return *fresh;
    delete fresh;
    return *pool;
}

}  // namespace

void run(const Execution& execution, int n_workers, std::int64_t total, const WorkerFunction& function) {
    Job job(function, execution.monitor, n_workers, total);
    if (n_workers <= 1) {
        job.error = job.execute(0);
    } else {
        Pool& pool = Pool::instance();
        pool.offer(job);
        std::exception_ptr error = job.execute(0);
        pool.retire(job);
        if (error) job.error = error;
    }
    if (job.error) std::rethrow_exception(job.error);
}

int worker_count(const Execution& execution, double multiply_adds) {
    constexpr double kWorthwhile = 1 << 20;
    constexpr int kMaxThreads = 1024;
    const int threads = std::min(execution.threads > 0 ? execution.threads : default_threads().count, kMaxThreads);
    return std::clamp(static_cast<int>(std::min(multiply_adds / kWorthwhile, 1e6)), 1, threads);
}

}  // namespace embmath::runtime

"""One thread for linear algebra while updates run."""

from threadpoolctl import ThreadpoolController, threadpool_limits

from pymc_sgld.compiled.threads import one_thread


def threads():
    of_blas = ThreadpoolController().select(user_api="blas").lib_controllers
    assert of_blas
    return {library.num_threads for library in of_blas}


def test_one_thread_and_as_many_as_before_at_its_end():
    with threadpool_limits(2, user_api="blas"):
        assert threads() == {2}
        with one_thread():
            assert threads() == {1}
        assert threads() == {2}


def test_one_thread_already_is_left():
    with threadpool_limits(1, user_api="blas"):
        with one_thread():
            assert threads() == {1}
        assert threads() == {1}

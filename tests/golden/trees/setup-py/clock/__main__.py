import os

import tornado.web


def make_app() -> tornado.web.Application:
    return tornado.web.Application([])


make_app().listen(int(os.environ["PORT"]))

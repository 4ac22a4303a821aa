"""
The Go doc's functions about notifications.
"""

from diarkis_tw.modules.notification import Notification
from diarkis_tw.modules.notification_service import NotificationLoader
from diarkis_tw.modules.notify import NotificationHandler, Notifier
from diarkis_tw.units import Seconds


class Notifications:
    """
    The part of L{Server<diarkis_tw.server.server.Server>} that reaches all users.
    """

    _notifier: Notifier

    def enable_notifications(self) -> None:
        """
        Have notifications; without it all the others are errors.
        Go: C{server.EnableNotifications}.

        @raise RegistrationError: the server has started.
        """
        self._notifier.enable()

    def notify(self, notification: Notification, *, local: bool) -> bool:
        """
        Send a notification to all users: those who are here get it within a
        second or so, those who connect later while its ttl lasts. It is not
        guaranteed. Go: C{server.Notify}.

        @param local: to the users of this node only, not of all nodes.
        @return: False if the id was sent before, so that nobody here gets it.
        @raise NotificationError: notifications are not enabled, the server is not
            running, or there were too many.
        """
        return self._notifier.notify(notification, local)

    def notification_service(
        self, name: str, loader: NotificationLoader, interval: Seconds
    ) -> None:
        """
        Call C{loader} each C{interval} and send what it returns to the users of
        this node: all nodes start the same services.
        Go: C{server.NotificationService}.

        @param loader: returns a L{Notification}, L{None}, or an awaitable of these.
            It is not called again before it is done; its failures are logged.
        @param interval: in seconds, not milliseconds as in Go; at least 0.1. The
            first call comes one interval after the start.
        @raise RegistrationError: a name twice, an interval or loader that is none,
            not enabled, or the server has started.
        """
        self._notifier.add_service(name, loader, interval)

    def set_on_notification(self, name: str, callback: NotificationHandler) -> None:
        """
        Call C{callback(user, notification)} for each user before a notification of
        that name is sent: True = the user gets it. Should it fail, the user does
        not, and the first failure of each notification is logged. Other names go
        to everybody. Go: C{server.SetOnNotification}.

        @raise RegistrationError: not a name and a function, or not enabled.
        """
        self._notifier.set_handler(name, callback)

    def delete_notification(self, id: str) -> None:
        """
        Let nobody get a notification any more, on any node. Its id stays used.
        Go: C{server.DeleteNotification}.

        @raise NotificationError: not enabled, the server is not running, or that is no id.
        """
        self._notifier.delete(id)
